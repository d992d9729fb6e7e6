//! Is an image what it says it is? [`verify`]: digests, sizes, media types, DiffIDs, the agreement of config and manifest, and what the
//! specification demands. All that was checked is counted, so that a good report says what it covers.

mod documents;
mod pass;
mod report;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io::BufRead,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt, StreamExt, future};
use teu_archive::codec::{Compression, Limits as LayerLimits};
use teu_spec::{Descriptor, Digest, Document};

use crate::{
    BoxFuture, Error, ErrorKind, Result, Role, Source, SourceExt,
    compression::codec,
    graph::{Content, Fold, Limits, Node, Position, Step, Visit},
    task::Tasks,
};
use pass::{Begun, MAGIC, Pass, begin, pass};

pub use report::{Finding, Found, Image, Kind, LayerIds, Report, Severity};

/// How an image is verified.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether an index may name images that are not there.
    pub allow_sparse: bool,
    /// How large an image may be.
    pub limits: Limits,
    /// How much a compressed layer may ask for.
    pub layers: LayerLimits,
    /// How many manifests and blobs are read side by side.
    pub jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_sparse: false,
            limits: Limits::default(),
            layers: LayerLimits::default(),
            jobs: 6,
        }
    }
}

/// Whoever knows more of layers than that they are compressed: it looks at them as they go by, so that they are read once.
pub trait Inspect: Send + Sync {
    /// Reads a layer's content without compression, as far as it wants, on a thread for blocking work, and says what it found. That the
    /// content breaks off is found by itself, and what of [`Kind::Layer`] was found then is not reported.
    fn layer(&self, layer: &Descriptor, content: &mut dyn BufRead) -> Vec<Found>;

    /// All layers of an image were seen that are there: what can be said of them together.
    fn image<'a>(&'a self, source: &'a dyn Source, layers: &'a [Descriptor]) -> BoxFuture<'a, Result<Vec<Found>>>;
}

/// Reads all of an image and checks it; it copies nothing.
///
/// What is wrong with the image is in the report.
///
/// # Errors
/// What kept it from being checked: the source could not be read, or a limit was reached.
pub async fn verify(source: Arc<dyn Source>, root: &Descriptor, options: &Options) -> Result<Report> {
    verify_with(source, root, options, None).await
}

/// The same, and whoever knows more of layers looks at each as it goes by.
///
/// # Errors
/// As [`verify`].
pub async fn verify_with(
    source: Arc<dyn Source>,
    root: &Descriptor,
    options: &Options,
    inspect: Option<Arc<dyn Inspect>>,
) -> Result<Report> {
    let checker = Checker {
        source: Arc::clone(&source),
        options,
        inspect,
        report: Mutex::default(),
        uncompressed: Mutex::default(),
        tasks: Tasks::default(),
    };
    Fold::new(&*source, &checker, options.limits, options.jobs)
        .visit(root)
        .await?;
    let mut report = checker.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report
        .findings
        .sort_by_key(|finding| (finding.severity, finding.kind, finding.digest));
    report.images.sort_by_key(|image| image.manifest);
    report.elsewhere.sort();
    report.absent.sort();
    Ok(report)
}

struct Checker<'a> {
    source: Arc<dyn Source>,
    options: &'a Options,
    inspect: Option<Arc<dyn Inspect>>,
    report: Mutex<Report>,
    /// By the digest of a layer, that of its content without compression, or why it cannot be had.
    uncompressed: Mutex<HashMap<Digest, std::result::Result<Digest, String>>>,
    tasks: Tasks,
}

/// What a blob is made of.
struct Seen {
    beginning: Vec<u8>,
    pass: Option<Pass>,
}

/// Whether an error is about the content, and not about the way to it.
fn is_finding(error: &Error) -> bool {
    use ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::Mismatch | Kind::Invalid | Kind::Unsupported | Kind::NotFound
    )
}

/// What an error of reading is about.
fn content_or_form(error: &Error) -> Kind {
    match error.kind() {
        ErrorKind::Mismatch | ErrorKind::NotFound => Kind::Content,
        _ => Kind::Document,
    }
}

impl Checker<'_> {
    fn report(&self, add: impl FnOnce(&mut Report)) {
        add(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn find(&self, severity: Severity, kind: Kind, node: Node<'_>, message: impl Into<String>) {
        let finding = Finding {
            severity,
            kind,
            position: node.position,
            digest: node.descriptor.digest,
            message: message.into(),
        };
        self.report(|report| report.findings.push(finding));
    }

    /// Takes over what the inspector found.
    fn take(&self, node: Node<'_>, found: Vec<Found>) {
        for Found {
            severity,
            kind,
            message,
        } in found
        {
            self.find(severity, kind, node, message);
        }
    }

    /// Reads a blob to its end, looks at how it begins, and uncompresses a layer on the way.
    async fn read(&self, node: Node<'_>) -> Result<()> {
        let blob = node.descriptor;
        let (source, descriptor) = (Arc::clone(&self.source), blob.clone());
        let (inspect, limits) = (self.inspect.clone(), self.options.layers.clone());
        let is_layer =
            node.position == Position::Layer && node.in_image && blob.media_type.layer_compression().is_some();
        let read = self.tasks.run(async move {
            let mut content = source.open(Role::Blob, &descriptor).await?;
            if is_layer {
                let passed = content.within(
                    |_| (),
                    move |content| {
                        let mut begun = Begun::new(content);
                        let pass = Some(pass(&mut begun, &descriptor, limits, inspect.as_deref()));
                        let beginning = begun.beginning;
                        Ok(Seen { beginning, pass })
                    },
                );
                return passed.await;
            }
            let mut beginning = Vec::new();
            while let Some(bytes) = content.next().await {
                begin(&mut beginning, &bytes?);
            }
            Ok(Seen { beginning, pass: None })
        });
        match read.await {
            Ok(Seen { beginning, pass }) => {
                if let Some(Pass { diff_id, found }) = pass {
                    if let Err(why) = &diff_id {
                        self.find(
                            Severity::Wrong,
                            Kind::Layer,
                            node,
                            format!("it cannot be uncompressed: {why}"),
                        );
                    }
                    self.take(node, found);
                    let mut all = self.uncompressed.lock().unwrap_or_else(PoisonError::into_inner);
                    all.insert(blob.digest, diff_id);
                }
                self.report(|report| {
                    match node.position {
                        Position::Config => report.configs += 1,
                        Position::Layer | Position::Other | Position::Manifest => report.layers += 1,
                    }
                    report.bytes += blob.size;
                });
                if let Some(stated) = blob.media_type.layer_compression()
                    && beginning.len() == MAGIC
                    && codec(stated) != Compression::of(&beginning)
                {
                    let message = format!("it is said to be {}, but its content is not", blob.media_type);
                    self.find(Severity::Wrong, Kind::Agreement, node, message);
                }
                Ok(())
            }
            Err(error) if *error.kind() == ErrorKind::NotFound && blob.media_type.is_foreign() => {
                self.report(|report| report.elsewhere.push(blob.digest));
                Ok(())
            }
            // What is no file where a blob should be, too, is content that is not there.
            Err(error) if is_finding(&error) => {
                self.find(Severity::Wrong, Kind::Content, node, error.to_string());
                Ok(())
            }
            Err(error) => Err(error.within(format!("reading blob {}", blob.digest))),
        }
    }
}

impl Visit for Checker<'_> {
    fn read<'a>(&'a self, source: &'a dyn Source, node: Node<'a>) -> BoxFuture<'a, Result<Document>> {
        async move {
            // What the parent embeds is checked with the parent; here it is the content itself that must be right.
            let mut descriptor = node.descriptor.clone();
            descriptor.data = None;
            source.document(&descriptor).await
        }
        .boxed()
    }

    fn unreadable<'a>(&'a self, node: Node<'a>, error: Error) -> BoxFuture<'a, Result<Option<Content>>> {
        let absent = *error.kind() == ErrorKind::NotFound && node.depth > 0;
        let outcome = if absent && self.options.allow_sparse {
            self.report(|report| report.absent.push(node.descriptor.digest));
            Ok(Some(node.descriptor.into()))
        } else if is_finding(&error) {
            self.find(Severity::Wrong, content_or_form(&error), node, error.to_string());
            Ok(Some(node.descriptor.into()))
        } else {
            Err(error)
        };
        future::ready(outcome).boxed()
    }

    fn enter<'a>(&'a self, node: Node<'a>, document: &'a Document) -> BoxFuture<'a, Result<Vec<Step>>> {
        self.report(|report| {
            match document {
                Document::Index(_) => report.indexes += 1,
                Document::Manifest(_) => report.manifests += 1,
            }
            report.bytes += node.descriptor.size;
        });
        self.check_children(node, document);
        future::ready(Ok(vec![Step::Walk; document.children().len()])).boxed()
    }

    fn blob<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Option<Content>>> {
        async move {
            self.read(node).await?;
            Ok(Some(node.descriptor.into()))
        }
        .boxed()
    }

    fn leave<'a>(
        &'a self,
        node: Node<'a>,
        document: &'a Document,
        _: Vec<Option<Descriptor>>,
    ) -> BoxFuture<'a, Result<Option<Content>>> {
        async move {
            if let Document::Manifest(manifest) = document {
                self.check_config(node, manifest).await?;
                if let Some(inspect) = &self.inspect
                    && manifest.config.media_type.is_image_config()
                {
                    let found = inspect.image(&*self.source, &manifest.layers).await?;
                    self.take(node, found);
                }
            }
            Ok(Some(node.descriptor.into()))
        }
        .boxed()
    }
}

//! Is an image what it says it is? [`verify`]: digests, sizes, media types, DiffIDs, the agreement of config and manifest, and what the
//! specification demands. All that was checked is counted, so that a good report says what it covers.

use std::{
    collections::HashMap,
    fmt,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future};
use teu_archive::codec::{Compression, Decoder};
use teu_spec::{
    Algorithm, Descriptor, Digest, Document, ImageConfig, Manifest, MediaType, Platform, json::MAX_DOCUMENT,
};

use crate::{
    BoxFuture, Error, ErrorKind, Result, Role, Source, SourceExt,
    blocking::{BATCH, Chunks, Sink},
    compression::codec,
    graph::{Content, Fold, Limits, Node, Position, Step, Visit},
    task::Tasks,
};

/// How an image is verified.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether an index may name images that are not there.
    pub allow_sparse: bool,
    /// How large an image may be.
    pub limits: Limits,
    /// How many manifests and blobs are read side by side.
    pub jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_sparse: false,
            limits: Limits::default(),
            jobs: 6,
        }
    }
}

/// What was checked, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Indexes that were read, checked and parsed.
    pub indexes: usize,
    /// Manifests that were read, checked and parsed.
    pub manifests: usize,
    /// Configs whose content was read and checked.
    pub configs: usize,
    /// Layers and other blobs whose content was read and checked.
    pub layers: usize,
    /// The bytes of all that.
    pub bytes: u64,
    /// Non-distributable layers that are not there and need not be.
    pub elsewhere: Vec<Digest>,
    /// Manifests that a sparse index names and that are not there.
    pub absent: Vec<Digest>,
    /// What is wrong, by digest.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong; what is merely odd does not count.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Odd)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The image is not what it says it is, or breaks a MUST of the specification.
    Wrong,
    /// It breaks a SHOULD, or readers may differ on it.
    Odd,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where the content stands.
    pub position: Position,
    /// Which content.
    pub digest: Digest,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = match self.position {
            Position::Manifest => "manifest",
            Position::Config => "config",
            Position::Layer => "layer",
        };
        write!(formatter, "{position} {}: {}", self.digest, self.message)
    }
}

/// Reads all of an image and checks it; it copies nothing.
///
/// What is wrong with the image is in the report.
///
/// # Errors
/// What kept it from being checked: the source could not be read, or a limit was reached.
pub async fn verify(source: Arc<dyn Source>, root: &Descriptor, options: &Options) -> Result<Report> {
    let checker = Checker {
        source: Arc::clone(&source),
        options,
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
        .sort_by_key(|finding| (finding.severity, finding.digest));
    report.elsewhere.sort();
    report.absent.sort();
    Ok(report)
}

struct Checker<'a> {
    source: Arc<dyn Source>,
    options: &'a Options,
    report: Mutex<Report>,
    /// By the digest of a layer, that of its content without compression, or why it cannot be had.
    uncompressed: Mutex<HashMap<Digest, std::result::Result<Digest, String>>>,
    tasks: Tasks,
}

/// How a DiffID is computed. One of another algorithm is reported as not checked.
const DIFF_ID: Algorithm = Algorithm::Sha256;

/// What a blob is made of.
struct Seen {
    beginning: Bytes,
    uncompressed: Option<std::result::Result<Digest, String>>,
}

/// Whether an error is about the content, and not about the way to it.
fn is_finding(error: &Error) -> bool {
    use ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::Mismatch | Kind::Invalid | Kind::Unsupported | Kind::NotFound
    )
}

impl Checker<'_> {
    fn report(&self, add: impl FnOnce(&mut Report)) {
        add(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn find(&self, severity: Severity, node: Node<'_>, message: impl Into<String>) {
        let finding = Finding {
            severity,
            position: node.position,
            digest: node.descriptor.digest,
            message: message.into(),
        };
        self.report(|report| report.findings.push(finding));
    }

    /// What is wrong with what a document says of its children.
    fn check_children(&self, node: Node<'_>, document: &Document) {
        for (place, child) in document.children().iter().enumerate() {
            if child.data.is_some() && child.verified_data().is_none() {
                let message = format!(
                    "the data embedded for child {place} is not the content of {}",
                    child.digest
                );
                self.find(Severity::Wrong, node, message);
            }
        }
        match document {
            Document::Index(index) => self.check_index(node, &index.manifests),
            Document::Manifest(manifest) => self.check_manifest(node, manifest),
        }
    }

    fn check_index(&self, node: Node<'_>, manifests: &[Descriptor]) {
        for (place, child) in manifests.iter().enumerate() {
            if !child.media_type.is_document() {
                let message = format!(
                    "manifest {place} is said to be {}, which is no manifest",
                    child.media_type
                );
                self.find(Severity::Odd, node, message);
            }
            if let Some(platform) = &child.platform
                && (platform.os.is_empty() || platform.architecture.is_empty())
            {
                let message = format!("the platform of manifest {place} lacks its os or architecture");
                self.find(Severity::Wrong, node, message);
            }
        }
    }

    /// The demands of image-spec's manifest.md.
    fn check_manifest(&self, node: Node<'_>, manifest: &Manifest) {
        if manifest.config.media_type == MediaType::OciEmpty && manifest.artifact_type.is_none() {
            let message = "its config is empty, so it must have an artifactType, and has none";
            self.find(Severity::Wrong, node, message);
        }
        if !manifest.config.media_type.is_image_config() {
            return;
        }
        for (place, layer) in manifest.layers.iter().enumerate() {
            if !layer.media_type.is_layer() {
                let message = format!("layer {place} is said to be {}, which is no layer", layer.media_type);
                self.find(Severity::Odd, node, message);
            }
        }
    }

    /// Whether an image's config agrees with its manifest, and with what the index says of that.
    async fn check_config(&self, node: Node<'_>, manifest: &Manifest) -> Result<()> {
        if !manifest.config.media_type.is_image_config() {
            return Ok(());
        }
        let raw = match self.source.small_blob(&manifest.config).await {
            Ok(raw) => raw,
            // It was found where it was visited.
            Err(error) if is_finding(&error) => return Ok(()),
            Err(error) if *error.kind() == ErrorKind::TooLarge => {
                let message = format!("the config has more than the limit of {MAX_DOCUMENT} bytes");
                self.find(Severity::Wrong, node, message);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let config = match ImageConfig::parse(raw) {
            Ok(config) => config,
            Err(error) => {
                self.find(Severity::Wrong, node, format!("its config: {error}"));
                return Ok(());
            }
        };
        match config.check_layers(manifest.layers.len()) {
            Ok(()) => self.check_diff_ids(node, manifest, config.diff_ids()),
            Err(error) => self.find(Severity::Wrong, node, format!("its config: {error}")),
        }
        if let Err(error) = config.created() {
            self.find(Severity::Wrong, node, format!("its config: {error}"));
        }
        let platform = config.platform();
        if platform.os.is_empty() || platform.architecture.is_empty() {
            self.find(Severity::Wrong, node, "its config lacks its os or architecture");
        } else if let Some(said) = &node.descriptor.platform
            && !same_machine(said, &platform)
        {
            let message = format!("the index says it is for {said}, its config for {platform}");
            self.find(Severity::Wrong, node, message);
        }
        Ok(())
    }

    /// Whether the layers are those of the config, by their content without compression.
    fn check_diff_ids(&self, node: Node<'_>, manifest: &Manifest, diff_ids: &[Digest]) {
        let uncompressed = self.uncompressed.lock().unwrap_or_else(PoisonError::into_inner);
        for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let (severity, message) = match uncompressed.get(&layer.digest) {
                Some(Ok(found)) if found == diff_id => continue,
                Some(Ok(_)) if diff_id.algorithm() != DIFF_ID => {
                    let message = format!("the DiffID {diff_id} was not checked, as it is no {DIFF_ID}");
                    (Severity::Odd, message)
                }
                Some(Ok(found)) => {
                    let message = format!(
                        "layer {} has the DiffID {found}, but the config says {diff_id}",
                        layer.digest
                    );
                    (Severity::Wrong, message)
                }
                Some(Err(why)) => {
                    let message = format!("layer {} cannot be uncompressed: {why}", layer.digest);
                    (Severity::Wrong, message)
                }
                // It is not there, or wrong, which was found where it was read; or nobody knows how it is compressed.
                None => continue,
            };
            self.find(severity, node, message);
        }
    }

    /// Reads a blob to its end, looks at how it begins, and uncompresses a layer on the way.
    async fn read(&self, node: Node<'_>) -> Result<()> {
        let blob = node.descriptor;
        let (source, descriptor) = (Arc::clone(&self.source), blob.clone());
        let is_layer = node.position == Position::Layer && blob.media_type.layer_compression().is_some();
        let read = self.tasks.run(async move {
            let mut content = source.open(Role::Blob, &descriptor).await?;
            let mut beginning = Bytes::new();
            let mut sink = is_layer.then(|| Sink::spawn(diff_id));
            let mut failed = None;
            while let Some(bytes) = content.next().await {
                let bytes = bytes?;
                if beginning.is_empty() {
                    beginning = bytes.slice(..bytes.len().min(MAGIC));
                }
                // Whatever cannot be uncompressed, the digest is checked to the end.
                if let Some(open) = &mut sink
                    && let Err(error) = open.send(bytes).await
                {
                    (sink, failed) = (None, Some(Err(error.to_string())));
                }
            }
            let uncompressed = match sink {
                Some(sink) => Some(sink.finish().await.map_err(|error| error.to_string())),
                None => failed,
            };
            Ok(Seen {
                beginning,
                uncompressed,
            })
        });
        match read.await {
            Ok(Seen {
                beginning,
                uncompressed,
            }) => {
                if let Some(uncompressed) = uncompressed {
                    let mut all = self.uncompressed.lock().unwrap_or_else(PoisonError::into_inner);
                    all.insert(blob.digest, uncompressed);
                }
                self.report(|report| {
                    match node.position {
                        Position::Config => report.configs += 1,
                        Position::Layer | Position::Manifest => report.layers += 1,
                    }
                    report.bytes += blob.size;
                });
                if let Some(stated) = blob.media_type.layer_compression()
                    && beginning.len() == MAGIC
                    && codec(stated) != Compression::of(&beginning)
                {
                    let message = format!("it is said to be {}, but its content is not", blob.media_type);
                    self.find(Severity::Wrong, node, message);
                }
                Ok(())
            }
            Err(error) if *error.kind() == ErrorKind::NotFound && blob.media_type.is_foreign() => {
                self.report(|report| report.elsewhere.push(blob.digest));
                Ok(())
            }
            Err(error) if is_finding(&error) => {
                self.find(Severity::Wrong, node, error.to_string());
                Ok(())
            }
            Err(error) => Err(error.within(format!("reading blob {}", blob.digest))),
        }
    }
}

/// The digest of a layer's content without compression, however it is compressed.
fn diff_id(content: Chunks) -> Result<Digest> {
    let mut decoder = Decoder::detect(content, teu_archive::codec::Limits::default())?;
    let mut hasher = DIFF_ID.hasher();
    let mut buffer = vec![0; BATCH];
    loop {
        let count = decoder
            .read(&mut buffer)
            .map_err(|error| Error::from(teu_archive::Error::from(error)))?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..count]);
    }
}

/// Whether two platforms are one machine's, as far as both say.
fn same_machine(said: &Platform, config: &Platform) -> bool {
    let (said, config) = (said.normalized(), config.normalized());
    said.os == config.os && said.architecture == config.architecture
}

/// How many bytes tell a compression.
const MAGIC: usize = 4;

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
            self.find(Severity::Wrong, node, error.to_string());
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
            }
            Ok(Some(node.descriptor.into()))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;

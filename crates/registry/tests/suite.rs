//! Is what is pushed to the registry by our own client what it was, by all that is asked of any store? The suite closes on itself.

use std::sync::Arc;

use crate::support::{Server, writable};
use teu_spec::Digest;
use teu_store::{
    BoxFuture, ManyInMemory, Result, Source, Target,
    suite::{Can, Place},
};
use teu_transport::remote::{Access, Client, PlainHttp, Repository, Retry, Settings};

/// A repository of a registry over many in memory, as a client sees it.
struct Here {
    all: ManyInMemory,
    server: Server,
    client: Client,
}

impl Here {
    fn new() -> Self {
        let all = ManyInMemory::new();
        // The suite makes its places within its runtime, and a server has one of its own.
        let server = tokio::task::block_in_place(|| Server::of(Arc::new(all.clone()), writable()));
        let client = Client::new(Settings {
            retry: Retry {
                times: 0,
                ..Retry::default()
            },
            ..Settings::default()
        });
        Self { all, server, client }
    }

    fn repository(&self) -> Repository {
        let access = Access {
            plain_http: PlainHttp::Fallback,
            ..Access::default()
        };
        let host = self.server.address.to_string();
        let registry = self.client.registry(&host, access).expect("a registry");
        registry.repository("suite/image").expect("a repository")
    }
}

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        let target: Arc<dyn Target> = Arc::new(self.repository());
        Box::pin(std::future::ready(Ok(target)))
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        let source: Arc<dyn Source> = Arc::new(self.repository());
        Box::pin(std::future::ready(Ok(source)))
    }

    fn can(&self) -> Can {
        Can {
            hold_unnamed: false,
            ..Can::EVERYTHING
        }
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        let store = self.all.repository("suite/image");
        store.insert_unchecked(*digest, content.to_vec());
        true
    }
}

teu_store::store_suite!(Here::new);

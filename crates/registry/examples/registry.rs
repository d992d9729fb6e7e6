//! A registry that keeps in memory what is pushed to it, until it is stopped by ^C.
//!
//! `cargo run -p teu-registry --example registry`, then `teu copy --dest-tls-verify=false oci:images:app docker://127.0.0.1:5000/app`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{future, io, sync::Arc};

use teu_registry::{Exchange, Registry, Settings, serve};
use teu_store::ManyInMemory;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let settings = Settings {
        writable: true,
        ..Settings::default()
    };
    let observer = Arc::new(|exchange: &Exchange| {
        println!("{} {} {:?}", exchange.status, exchange.method, exchange.target);
    });
    let registry = Registry::new(Arc::new(ManyInMemory::new()), settings, Some(observer));
    let listener = TcpListener::bind("127.0.0.1:5000").await?;
    println!("http://{}/v2/", listener.local_addr()?);
    serve(Arc::new(registry), listener, future::pending()).await;
    Ok(())
}

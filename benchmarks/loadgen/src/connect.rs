//! A connection to the server, plain or with TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::arguments::Load;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Where to connect to, and how.
#[derive(Clone)]
pub struct Target {
    pub address: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
    /// Reads the certificates that the arguments name; `protocol` is offered by ALPN.
    pub fn new(load: &Load, protocol: &[u8]) -> Result<Self, Error> {
        let tls = match &load.ca {
            None => None,
            Some(ca) => {
                let connector = TlsConnector::from(Arc::new(client(load, ca, protocol)?));
                Some((connector, ServerName::try_from(load.server_name.clone())?))
            }
        };
        Ok(Self { address: load.address.clone(), tls })
    }

    pub async fn connect(&self) -> std::io::Result<Box<dyn Io>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
        }
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

fn client(load: &Load, ca: &Path, protocol: &[u8]) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match (&load.certificate, &load.key) {
        (Some(chain), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
            trusting.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
        }
        _ => trusting.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

//! TLS 1.3 and nothing older; with a client authority, callers show a certificate of it too (mTLS).

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// PEM texts: the server's chain, its key, and the authority of callers, if they must show a certificate.
#[derive(Clone)]
pub struct Pem {
    pub chain: Vec<u8>,
    pub key: Vec<u8>,
    pub callers: Option<Vec<u8>>,
}

/// Which of the texts cannot be used, and why; the sentence holds nothing of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable {
    pub part: Part,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Chain,
    Key,
    Callers,
}

/// What is in force. A renewal counts for the connections that come after it; those that are open keep what they have.
pub struct Tls(ArcSwap<ServerConfig>);

impl Tls {
    pub fn new(pem: &Pem) -> Result<Self, Unusable> {
        Ok(Self(ArcSwap::from_pointee(config(pem)?)))
    }

    /// Take other texts from now on. What is in force stays when they are refused.
    pub fn renew(&self, pem: &Pem) -> Result<(), Unusable> {
        self.0.store(Arc::new(config(pem)?));
        Ok(())
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

impl Part {
    fn refused(self, why: &impl ToString) -> Unusable {
        Unusable {
            part: self,
            why: why.to_string(),
        }
    }
}

/// HTTP/2 over TLS 1.3. Sessions are remembered in the config: none outlives the authority that it was let in by.
fn config(pem: &Pem) -> Result<ServerConfig, Unusable> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&pem.chain).map_err(|why| Part::Chain.refused(&why))?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|why| Part::Key.refused(&why))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|why| Part::Chain.refused(&why))?;
    let builder = match &pem.callers {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let refused = |why| Part::Callers.refused(&why);
            let roots = Arc::new(roots(authority).map_err(refused)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|why| refused(why.to_string()))?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|why| Part::Key.refused(&format!("it does not fit the certificate: {why}")))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn roots(authority: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for root in certificates(authority)? {
        roots.add(root).map_err(|why| format!("it is no authority: {why}"))?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|why| why.to_string())?;
    if found.is_empty() {
        Err("it holds no certificate".to_owned())
    } else {
        Ok(found)
    }
}

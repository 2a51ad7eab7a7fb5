//! TLS 1.3 and nothing older; with a client authority, callers show a certificate of it too (mTLS).

use std::sync::Arc;

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

/// An acceptor for HTTP/2 over TLS 1.3. Gives a sentence for the operator when the texts are not what they should be.
pub fn acceptor(pem: &Pem) -> Result<TlsAcceptor, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&pem.chain).map_err(|why| format!("the certificate chain cannot be read: {why}"))?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|why| format!("the key cannot be read: {why}"))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|why| why.to_string())?;
    let builder = match &pem.callers {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for root in
                certificates(authority).map_err(|why| format!("the callers' authority cannot be read: {why}"))?
            {
                roots
                    .add(root)
                    .map_err(|why| format!("the callers' authority is not one: {why}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|why| format!("the callers' authority is not one: {why}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|why| format!("key and certificate do not fit: {why}"))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
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

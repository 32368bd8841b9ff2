//! TLS for the drivers, with the crate feature `tls`. Certificates are checked against the system's authorities, or
//! against those of one file.

use crate::StoreError;
#[cfg(feature = "tls")]
use std::path::Path;

/// The certificate authorities in a PEM file.
#[cfg(feature = "tls")]
pub(crate) fn authorities(store: &'static str, file: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(file).map_err(|error| StoreError::Unusable {
        store,
        reason: format!("the certificates in {} cannot be read: {error}", file.display()),
    })
}

/// What every connection of the CQL driver is encrypted with.
#[cfg(feature = "tls")]
pub(crate) fn client(
    store: &'static str,
    authorities_file: Option<&Path>,
) -> Result<std::sync::Arc<rustls::ClientConfig>, StoreError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    let unusable = |error: &dyn std::fmt::Display| StoreError::Unusable {
        store,
        reason: format!("the certificate authorities cannot be used: {error}"),
    };
    let certificates = match authorities_file {
        Some(file) => CertificateDer::pem_slice_iter(&authorities(store, file)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(&error))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"there are none"));
    }
    Ok(std::sync::Arc::new(
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// Refuses settings that ask for TLS in a build without it.
pub(crate) fn require(store: &'static str, wanted: bool) -> Result<(), StoreError> {
    if !wanted || cfg!(feature = "tls") {
        return Ok(());
    }
    Err(StoreError::Unusable { store, reason: "this program was built without the feature `tls`".to_owned() })
}

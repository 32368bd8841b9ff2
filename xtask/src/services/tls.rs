//! Certificates for the servers' encrypted listeners, made anew for each run and signed by an authority of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// What the servers know their clients by, on encrypted listeners. They are reached over loopback and end with the tests.
pub const USER: &str = "shopsmart";
/// The password of [`USER`].
pub const PASSWORD: &str = "only-for-tests";
/// User and password of Cassandra's first role, which it makes by itself.
pub const CQL_USER: &str = "cassandra";

/// The files of a run, all PEM.
#[derive(Debug, Clone)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// Where the files of a run are, or will be.
    pub fn of_run(run: &Path) -> Self {
        Self { directory: run.join("tls") }
    }

    /// Makes them. The servers of a compose project have to be able to read them, whatever user they run as.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn make(run: &Path) -> Result<Self> {
        let files = Self::of_run(run);
        fs::create_dir_all(&files.directory)
            .with_context(|| format!("cannot create {}", files.directory.display()))?;
        let authority = authority("ShopSmart tests")?;
        let key = KeyPair::generate()?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority.issuer)?;
        let (key, certificate) = (key.serialize_pem(), certificate.pem());
        fs::write(files.authority(), authority.pem)?;
        fs::write(files.stranger(), self::authority("somebody else")?.pem)?;
        fs::write(files.certificate(), &certificate)?;
        fs::write(files.key(), &key)?;
        fs::write(files.key_and_certificate(), format!("{key}{certificate}"))?;
        Ok(files)
    }

    /// The directory of all of them.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The authority that signed the servers' certificate.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// An authority that signed nothing.
    fn stranger(&self) -> PathBuf {
        self.directory.join("stranger.pem")
    }

    /// The servers' certificate, for loopback.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("server.pem")
    }

    /// Its key.
    pub fn key(&self) -> PathBuf {
        self.directory.join("server.key")
    }

    /// Both in one file, as servers in Java want them.
    pub fn key_and_certificate(&self) -> PathBuf {
        self.directory.join("server-with-key.pem")
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority(name: &str) -> Result<Authority> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok(Authority { issuer: Issuer::new(params, key), pem })
}

//! [`Shelf`]: CRLs and certificates in files by hash. What readers see is on the disk before they see it.
//!
//! Who believes the files: this service, at start, once each CRL's signature verifies again. Lost, they cost a
//! download; their thief can keep newer CRLs away until the broker or a poll brings them, and cannot forge one.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::Digest;
use tracing::{info, warn};

use crate::files::Store;
use crate::holdings::{Held, Holdings, MAX_SCOPES, Rank, ScopeKey};
use crate::signer::find_signer;

/// Nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The disk says no.
    #[error("the files: {0}")]
    Files(#[from] io::Error),
    /// There is no room for one more.
    #[error(transparent)]
    Full(#[from] Full),
}

/// A limit of the shelf was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// See [`MAX_CERTIFICATES`](crate::MAX_CERTIFICATES), [`MAX_CERTIFICATE_OCTETS`](crate::MAX_CERTIFICATE_OCTETS).
    #[error("no room for another certificate")]
    Certificates,
    /// See [`MAX_SCOPES`].
    #[error("no room for the CRLs of another scope")]
    Scopes,
}

/// What came of keeping a CRL.
#[derive(Clone, Debug)]
pub enum Kept {
    /// It stands highest now.
    Highest {
        /// As it is held.
        held: Held,
        /// In whose place, if there was one.
        before: Option<Held>,
    },
    /// It was there.
    Same(Held),
    /// This one stands above it.
    Lower(Held),
}

/// CRLs and certificates, durable. All calls that keep something block on the disk.
pub struct Shelf {
    holdings: RwLock<Holdings>,
    certificates: Store,
    /// CRLs that are this service's own to announce.
    own: Store,
    /// CRLs that somebody else announced.
    foreign: Store,
    /// Held by the one who keeps something: rank, file and index belong together.
    keeping: Mutex<()>,
}

impl Shelf {
    /// Opens the shelf in `folder`, and reads what is on it. CRLs whose signer is not among the certificates are left
    /// alone, superseded ones are removed.
    pub fn open(folder: &Path) -> io::Result<Shelf> {
        let shelf = Shelf {
            holdings: RwLock::default(),
            certificates: Store::open(&folder.join("certificates"))?,
            own: Store::open(&folder.join("crls/own"))?,
            foreign: Store::open(&folder.join("crls/foreign"))?,
            keeping: Mutex::new(()),
        };
        shelf.load_certificates()?;
        shelf.load_crls(true)?;
        shelf.load_crls(false)?;
        let (scopes, certificates) =
            shelf.read(|holdings| (holdings.scopes(), holdings.certificates().count()));
        info!(scopes, certificates, folder = %folder.display(), "read the shelf");
        Ok(shelf)
    }

    /// Lets `look` look at what is held. Whoever keeps something waits for it, so it should be quick.
    pub fn read<T>(&self, look: impl FnOnce(&Holdings) -> T) -> T {
        look(&self.holdings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The highest CRL of a series.
    pub fn crl(&self, key: &ScopeKey) -> Option<Held> {
        self.read(|holdings| holdings.crl(key).cloned())
    }

    /// Keeps a certificate; tells whether it was new.
    pub fn keep_certificate(&self, certificate: Certificate) -> Result<bool, ShelfError> {
        let _keeping = self.keeping();
        let (known, has_room) = self.read(|holdings| {
            (holdings.certificate(&certificate.id()).is_some(), holdings.has_room_for(&certificate))
        });
        if known {
            return Ok(false);
        }
        if !has_room {
            return Err(Full::Certificates.into());
        }
        self.certificates.put(Digest::of(certificate.der()), certificate.der())?;
        Ok(self.write(|holdings| holdings.insert_certificate(certificate)))
    }

    /// Keeps a CRL that the key of `signer` signed, if it stands above the one that is held. The caller has verified
    /// the signature. `own`: it is this service's own to announce.
    pub fn keep_crl(&self, crl: &Crl, signer: &Certificate, own: bool) -> Result<Kept, ShelfError> {
        let issuer = signer.as_issuer();
        let (key, order) = ((issuer, crl.scope(issuer), crl.kind()), crl.order());
        self.keep_certificate(signer.clone())?;
        let _keeping = self.keeping();
        let (rank, held, scopes) = self
            .read(|holdings| (holdings.rank(&key, &order), holdings.crl(&key).cloned(), holdings.scopes()));
        if self.read(|holdings| holdings.is_conflicting(&key, &order)) {
            // Whatever it is, validators join both; here the higher one stands.
            warn!(issuer = %crl.issuer(), number = ?order.number, "ALARM: two CRLs under one number");
        }
        match (rank, held) {
            (Rank::Same, Some(held)) => return Ok(Kept::Same(held)),
            (Rank::Lower, Some(held)) => return Ok(Kept::Lower(held)),
            (Rank::First, _) if scopes >= MAX_SCOPES => return Err(Full::Scopes.into()),
            _ => {}
        }
        self.crls(own).put(crl.digest(), crl.der())?;
        let (held, before) = self.write(|holdings| holdings.insert_crl(crl.clone(), signer.clone(), own));
        if let Some(before) = &before {
            self.discard(before.own, before.crl.digest());
        }
        Ok(Kept::Highest { held, before })
    }

    fn load_certificates(&self) -> io::Result<()> {
        for digest in self.certificates.digests()? {
            match self.certificates.get(digest)?.map(Certificate::decode) {
                Some(Ok(certificate)) => {
                    self.write(|holdings| holdings.insert_certificate(certificate));
                }
                Some(Err(error)) => warn!(%digest, %error, "a file on the shelf is no certificate"),
                None => warn!(%digest, "a certificate on the shelf was damaged and is removed"),
            }
        }
        Ok(())
    }

    fn load_crls(&self, own: bool) -> io::Result<()> {
        for digest in self.crls(own).digests()? {
            let Some(bytes) = self.crls(own).get(digest)? else {
                warn!(%digest, "a CRL on the shelf was damaged and is removed");
                continue;
            };
            match Crl::decode(bytes) {
                Ok(crl) => self.load_crl(crl, own),
                Err(error) => warn!(%digest, %error, "a file on the shelf is no CRL"),
            }
        }
        Ok(())
    }

    fn load_crl(&self, crl: Crl, own: bool) {
        let candidates = self.read(|holdings| holdings.by_subject(crl.issuer()).to_vec());
        let Some(signer) = find_signer(&crl, &candidates) else {
            warn!(issuer = %crl.issuer(), digest = %crl.digest(), "a CRL on the shelf is by none of the known keys");
            return;
        };
        let issuer = signer.as_issuer();
        let rank =
            self.read(|holdings| holdings.rank(&(issuer, crl.scope(issuer), crl.kind()), &crl.order()));
        if rank == Rank::Lower {
            return self.discard(own, crl.digest());
        }
        if rank != Rank::Same
            && let (_, Some(before)) = self.write(|holdings| holdings.insert_crl(crl, signer, own))
        {
            self.discard(before.own, before.crl.digest());
        }
    }

    /// A superseded file that stays only takes room, until the next start.
    fn discard(&self, own: bool, digest: Digest) {
        if let Err(error) = self.crls(own).remove(digest) {
            warn!(%digest, %error, "a superseded CRL was not removed");
        }
    }

    fn crls(&self, own: bool) -> &Store {
        if own { &self.own } else { &self.foreign }
    }

    fn write<T>(&self, change: impl FnOnce(&mut Holdings) -> T) -> T {
        change(&mut self.holdings.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn keeping(&self) -> std::sync::MutexGuard<'_, ()> {
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

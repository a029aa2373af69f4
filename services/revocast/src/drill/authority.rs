//! The drill's CA: mints CRLs of any size, publishes them, and serves them at a URL that counts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use revocast_bus::Bus;
use revocast_fleet::overview::ScopeKey;
use revocast_fleet::registrar::{self, Knowledge, Responsible};
use revocast_fleet::{Publisher, Wait};
use revocast_messages::subjects::Subject;
use revocast_messages::{
    CertificateNotice, CrlNotice, Instance, Origin, Receipt, Role, ScopeState, Source, decode, encode,
    subjects,
};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Reason};
use revocast_pki::identity::{CrlOrder, IssuerId};
use revocast_pki::mint::{self, CertificateTemplate, CrlTemplate, KeyKind, RevokedEntry, SigningKey};
use revocast_pki::name::Name;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::exit::Failure;

const INSTANCE: &str = "drill";
const DAY: i64 = 86_400;

/// A CA with a CRL that grows.
pub(super) struct DrillAuthority {
    key: SigningKey,
    name: Name,
    certificate: Certificate,
    publisher: Publisher,
    bus: Bus,
    revoked: u32,
    issued: u64,
    /// CRLs are only to be had at `url`.
    by_repository: bool,
    last: Option<Crl>,
    url: String,
    served: Arc<Mutex<Bytes>>,
    downloads: Arc<AtomicU64>,
    _registrar: revocast_bus::Service,
}

/// A CRL that was issued.
pub(super) struct IssuedCrl {
    pub(super) scope: ScopeKey,
    pub(super) order: CrlOrder,
    pub(super) stored_at_ms: i64,
    pub(super) entries: usize,
    pub(super) crl_bytes: usize,
    pub(super) notice_bytes: usize,
}

/// What the drill's CA tells its subscribers: nothing but the time.
struct Known;

impl Knowledge for Known {
    fn now_ms(&self) -> i64 {
        now_ms()
    }

    async fn scopes(&self, _: Option<IssuerId>) -> Vec<ScopeState> {
        Vec::new()
    }
}

impl DrillAuthority {
    /// Founds the CA, and serves its CRL over HTTP.
    pub(super) async fn found(bus: &Bus, by_repository: bool) -> Result<DrillAuthority, Failure> {
        let key = SigningKey::generate(KeyKind::EcdsaP256).map_err(Failure::io)?;
        let name = mint::name("CN=Drill CA,O=Revocast").map_err(Failure::io)?;
        let now = Time::from_unix(now_ms().div_euclid(1_000));
        let template =
            CertificateTemplate::ca(name.clone(), key.spki(), &[1], (now.plus(-300), now.plus(DAY)));
        let der = template.sign(&name, &key).map_err(Failure::io)?;
        let certificate = Certificate::decode(der).map_err(Failure::io)?;
        let (served, downloads) = (Arc::new(Mutex::new(Bytes::new())), Arc::new(AtomicU64::new(0)));
        let url = serve(served.clone(), downloads.clone()).await?;
        let who = Responsible {
            role: Role::Authority,
            instance: INSTANCE.parse().map_err(Failure::io)?,
            issuers: vec![certificate.as_issuer()],
            longest_lease: std::time::Duration::from_secs(3_600),
        };
        let registrar = registrar::start(bus, who, Known).await.map_err(Failure::io)?;
        let publisher = Publisher::new(bus, INSTANCE).await;
        let authority = DrillAuthority {
            key,
            name,
            certificate,
            publisher,
            bus: bus.clone(),
            revoked: 0,
            issued: 0,
            by_repository,
            last: None,
            url,
            served,
            downloads,
            _registrar: registrar,
        };
        authority.announce().await?;
        Ok(authority)
    }

    async fn announce(&self) -> Result<(), Failure> {
        let notice = CertificateNotice {
            issuer: self.certificate.as_issuer(),
            certificate: self.certificate.der().clone().into(),
            origin: origin()?,
            locations: Vec::new(),
        };
        self.publisher.publish_certificate(&notice).await.map(|_| ()).map_err(Failure::io)
    }

    /// Its certificate: what the fleet believes.
    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Where its CRL is found.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How often its CRL was fetched from there.
    pub(super) fn downloads(&self) -> u64 {
        self.downloads.load(Ordering::Relaxed)
    }

    /// A certificate that is not revoked.
    pub(super) fn leaf(&self) -> Result<Certificate, Failure> {
        let key = SigningKey::generate(KeyKind::EcdsaP256).map_err(Failure::io)?;
        let subject = mint::name("CN=leaf").map_err(Failure::io)?;
        let now = Time::from_unix(now_ms().div_euclid(1_000));
        let template =
            CertificateTemplate::new(subject, key.spki(), &[0x7f, 0x7f], (now.plus(-300), now.plus(DAY)));
        let der = template.sign(&self.name, &self.key).map_err(Failure::io)?;
        Certificate::decode(der).map_err(Failure::io)
    }

    /// Begins to wait for the receipts of the next CRL.
    pub(super) async fn wait(&self, bus: &Bus) -> Result<Wait, Failure> {
        Wait::begin(bus, self.certificate.as_issuer(), now_ms()).await.map_err(Failure::io)
    }

    /// Revokes `count` more, issues the CRL that says so, and publishes it.
    pub(super) async fn revoke(&mut self, count: u32) -> Result<IssuedCrl, Failure> {
        self.revoked += count;
        self.issued += 1;
        let crl = self.mint()?;
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = crl.der().clone();
        let mut notice = CrlNotice::of(&crl, self.certificate.as_issuer(), origin()?);
        notice.locations = vec![self.url.clone()];
        if self.by_repository {
            notice.crl = None;
        } else if let Some(last) = &self.last {
            notice.add_difference(last, &crl);
        }
        let body = encode(&notice).map_err(Failure::io)?;
        let notice_bytes = body.len();
        if self.by_repository {
            let subject = notice.subject().to_string();
            let told = self.bus.publish(subjects::NOTICES, &subject, &notice.headers(), body.into()).await;
            told.map_err(Failure::io)?;
        } else {
            let signer = self.key.spki();
            self.publisher.publish_crl(&notice, crl.der(), signer).await.map_err(Failure::io)?;
        }
        let head =
            self.bus.head(subjects::NOTICES, &notice.subject().to_string()).await.map_err(Failure::io)?;
        let issued = IssuedCrl {
            scope: (notice.issuer, notice.scope, notice.kind),
            order: notice.order(),
            stored_at_ms: head.map_or_else(now_ms, |head| head.stored_at_ms()),
            entries: crl.entries(),
            crl_bytes: crl.der().len(),
            notice_bytes,
        };
        self.last = Some(crl);
        Ok(issued)
    }

    fn mint(&self) -> Result<Crl, Failure> {
        let now = Time::from_unix(now_ms().div_euclid(1_000));
        let template = CrlTemplate::new(self.name.clone(), self.issued, now, now.plus(DAY));
        let entries = (0..self.revoked)
            .map(|n| RevokedEntry::new(&serial(n), now_of(n)).because(Reason::KeyCompromise));
        let der = template.sign(entries, &self.key).map_err(Failure::io)?;
        Crl::decode(der).map_err(Failure::io)
    }

    /// How the bytes came to the validators, from their receipts.
    pub(super) async fn sources(
        &self,
        bus: &Bus,
        issued: &IssuedCrl,
    ) -> Result<Vec<(Source, usize)>, Failure> {
        let mut follower = revocast_bus::Follower::new(bus, subjects::RECEIPTS, subjects::ALL_NOTICES, None);
        let mut counts = std::collections::BTreeMap::new();
        loop {
            match follower.next().await {
                revocast_bus::Followed::Head(head) => {
                    if let Ok(receipt) = decode::<Receipt>(&head.payload)
                        && receipt.crl_id == issued.order.id
                        && matches!(head.subject.parse(), Ok(Subject::Receipt { .. }))
                    {
                        *counts.entry(receipt.source).or_insert(0) += 1;
                    }
                }
                revocast_bus::Followed::Attached { .. } => return Ok(counts.into_iter().collect()),
                revocast_bus::Followed::Detached { why } => return Err(Failure::io(why)),
                revocast_bus::Followed::Next(_) => {}
            }
        }
    }
}

fn origin() -> Result<Origin, Failure> {
    let instance: Instance = INSTANCE.parse().map_err(Failure::io)?;
    Ok(Origin { role: Role::Authority, instance, seen_at_ms: now_ms() })
}

/// Serial numbers that look like real ones: 16 octets without an order that an index could lean on.
fn serial(n: u32) -> [u8; 16] {
    let mut state = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut octets = [0; 16];
    for half in octets.chunks_exact_mut(8) {
        state ^= state >> 30;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
        half.copy_from_slice(&state.to_be_bytes());
    }
    octets[0] = octets[0] & 0x3f | 0x40;
    octets
}

/// Revocation dates of a plausible kind: one every few seconds, long ago.
fn now_of(n: u32) -> Time {
    Time::from_unix(1_700_000_000 + i64::from(n % 10_000_000))
}

async fn serve(served: Arc<Mutex<Bytes>>, downloads: Arc<AtomicU64>) -> Result<String, Failure> {
    let give = move || {
        let (served, downloads) = (served.clone(), downloads.clone());
        async move {
            downloads.fetch_add(1, Ordering::Relaxed);
            served.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    };
    let routes = Router::new().route("/drill.crl", get(give));
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let (bound, _) =
        revocast_daemon::listen(any_port, routes, CancellationToken::new()).await.map_err(Failure::io)?;
    Ok(format!("http://{bound}/drill.crl"))
}

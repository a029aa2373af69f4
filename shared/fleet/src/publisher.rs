//! [`Publisher`]: notices of CRLs and certificates, published once for ever.
//!
//! The CRL goes into the object store first, so that what a notice names can be had; but a notice is never withheld
//! because the store failed. A head with a greater number stands only if its CRL can be had and the issuer's own key
//! signed it: a lie about a number must not silence anybody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Objects, Published, Standing, Stored};
use revocast_messages::subjects::Subject;
use revocast_messages::{
    CertificateNotice, CrlNotice, DecodeError, Headers, Heartbeat, Instance, Origin, Role, decode, encode,
    subjects,
};
use revocast_pki::crl::Crl;
use revocast_pki::identity::Digest;
use revocast_pki::signature::AlgorithmPolicy;
use tokio::sync::OnceCell;
use tracing::{info, warn};

/// The largest CRL that is fetched to judge another's claim.
const MAX_HEAD: usize = 256 << 20;

/// Publishes notices. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    bus: Bus,
    store: Arc<ObjectStore>,
    marks: Headers,
}

/// The object store, opened when it is needed: at any moment its stream may be without a leader.
struct ObjectStore {
    holder: String,
    objects: OnceCell<Objects>,
    /// When it was tried last in vain.
    tried: Mutex<Option<Instant>>,
}

/// An object store that cannot be opened is left alone for so long: notices do not wait for it.
const STORE_PAUSE: Duration = Duration::from_secs(2);

impl ObjectStore {
    async fn open(&self, bus: &Bus) -> Option<&Objects> {
        let opening = || async {
            if self.tried().is_some_and(|tried| tried.elapsed() < STORE_PAUSE) {
                return Err(());
            }
            let opened = bus.objects(subjects::CRLS, subjects::LEASES, &self.holder).await;
            opened.map_err(|error| {
                warn!(%error, "without the object store: CRLs travel in notices or from the repository");
                *self.tried() = Some(Instant::now());
            })
        };
        self.objects.get_or_try_init(opening).await.ok()
    }

    fn tried(&self) -> MutexGuard<'_, Option<Instant>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    /// Over a connection; `holder` is the name under which leases are taken. An object store that is not there now is
    /// looked for again when it is needed.
    pub async fn new(bus: &Bus, holder: &str) -> Publisher {
        let store =
            ObjectStore { holder: holder.to_owned(), objects: OnceCell::new(), tried: Mutex::new(None) };
        let publisher = Publisher { bus: bus.clone(), store: Arc::new(store), marks: Headers::new() };
        publisher.objects().await;
        publisher
    }

    /// Adds header lines to each notice.
    pub fn marking(self, marks: Headers) -> Publisher {
        Publisher { marks, ..self }
    }

    /// The object store, where there is one and it can be reached.
    pub async fn objects(&self) -> Option<&Objects> {
        self.store.open(&self.bus).await
    }

    /// Publishes a notice of `crl`, which the key `signer` (SubjectPublicKeyInfo DER) signed.
    pub async fn publish_crl(
        &self,
        notice: &CrlNotice,
        crl: &[u8],
        signer: &[u8],
    ) -> Result<Published, BusError> {
        self.store(crl).await;
        let ours = notice.order();
        let judge = |head: Stored| async move {
            match decode::<CrlNotice>(&head.payload) {
                // One that lies about the CRL, if only about its size, is as good as none.
                Ok(head) if head.crl_id == ours.id => {
                    let same = describe_the_same(&head, notice) || self.is_sound(&head, signer).await;
                    if same { Standing::Same } else { Standing::Worse }
                }
                Ok(head) if head.order() > ours && self.is_sound(&head, signer).await => Standing::Better,
                _ => Standing::Worse,
            }
        };
        let subject = notice.subject().to_string();
        let body = encode(notice).map_err(unencodable)?.into();
        let stream = notice.origin.role.stream();
        let published = self.publish(stream, &subject, &notice.headers(), body, judge).await?;
        let number = notice.number.map(|number| number.to_string());
        info!(%subject, number, ?published, "CRL notice");
        Ok(published)
    }

    /// Publishes a notice of a certificate.
    pub async fn publish_certificate(&self, notice: &CertificateNotice) -> Result<Published, BusError> {
        let ours = notice.id();
        let judge = move |head: Stored| async move {
            match decode::<CertificateNotice>(&head.payload) {
                Ok(head) if head.id() == ours => Standing::Same,
                _ => Standing::Worse,
            }
        };
        let subject = notice.subject().to_string();
        let body = encode(notice).map_err(unencodable)?.into();
        self.publish(notice.origin.role.stream(), &subject, &notice.headers(), body, judge).await
    }

    /// Whether publishers of `class` tell the CRL of a notice, or a better one, that can be had and that `signer`'s key
    /// signed: a lie of theirs silences nobody.
    pub async fn is_told(&self, class: Role, notice: &CrlNotice, signer: &[u8]) -> Result<bool, BusError> {
        let subject =
            Subject::CrlNotice { class, issuer: notice.issuer, scope: notice.scope, kind: notice.kind };
        let Some(head) = self.bus.head(class.stream(), &subject.to_string()).await? else { return Ok(false) };
        let Ok(head) = decode::<CrlNotice>(&head.payload) else { return Ok(false) };
        if head.subject() != subject || head.order() < notice.order() {
            return Ok(false);
        }
        let is_ours = describe_the_same(&head, notice) && self.has_bytes_of(&head).await;
        Ok(is_ours || self.is_sound(&head, signer).await)
    }

    /// Whether publishers of `class` tell the certificate of a notice.
    pub async fn is_certificate_told(
        &self,
        class: Role,
        notice: &CertificateNotice,
    ) -> Result<bool, BusError> {
        let subject = Subject::CertificateNotice { class, issuer: notice.issuer, certificate: notice.id() };
        let head = self.bus.head(class.stream(), &subject.to_string()).await?;
        let told = head.and_then(|head| decode::<CertificateNotice>(&head.payload).ok());
        Ok(told.is_some_and(|told| told.id() == notice.id()))
    }

    /// Whether a head leads to the bytes whose hash it tells, by itself or through the object store.
    async fn has_bytes_of(&self, head: &CrlNotice) -> bool {
        match (&head.crl, self.objects().await) {
            (Some(inline), _) => Digest::of(inline) == head.digest,
            (None, Some(objects)) => objects.has(&head.digest.to_string()).await.unwrap_or(false),
            (None, None) => false,
        }
    }

    async fn is_sound(&self, head: &CrlNotice, signer: &[u8]) -> bool {
        let bytes = self.bytes_of(head, MAX_HEAD).await;
        bytes.is_some_and(|bytes| is_what_is_told(head, bytes, signer))
    }

    /// What a head leads to, by itself or through the object store, if it is not larger than `limit`.
    pub(crate) async fn bytes_of(&self, head: &CrlNotice, limit: usize) -> Option<Bytes> {
        match (&head.crl, self.objects().await) {
            (Some(inline), _) => Some(inline.0.clone()),
            (None, Some(objects)) => objects.get(&head.digest.to_string(), limit).await.ok(),
            (None, None) => None,
        }
    }

    async fn publish<J, F>(
        &self,
        stream: &str,
        subject: &str,
        headers: &Headers,
        body: Bytes,
        judge: J,
    ) -> Result<Published, BusError>
    where
        J: Fn(Stored) -> F + Send + Sync,
        F: Future<Output = Standing> + Send,
    {
        let headers: Headers = headers.iter().chain(&self.marks).cloned().collect();
        self.bus.publish_head(stream, subject, &headers, body, judge).await
    }

    async fn store(&self, crl: &[u8]) {
        let Some(objects) = self.objects().await else { return };
        if let Err(error) = objects.put(crl).await {
            warn!(%error, "a CRL is not in the object store; its notice goes out all the same");
        }
    }
}

/// Says that a publisher is alive, in its own stream.
pub async fn beat(bus: &Bus, role: Role, instance: &Instance, interval_s: u32, now_ms: i64) {
    let heartbeat =
        Heartbeat { origin: Origin { role, instance: instance.clone(), seen_at_ms: now_ms }, interval_s };
    let Ok(body) = encode(&heartbeat) else { return };
    let subject = heartbeat.subject().to_string();
    if let Err(error) = bus.publish(role.stream(), &subject, &Vec::new(), body.into()).await {
        warn!(%error, "a heartbeat was not heard");
    }
}

/// Whether bytes are the CRL that a head tells of, and `signer`'s key signed it.
pub(crate) fn is_what_is_told(head: &CrlNotice, bytes: Bytes, signer: &[u8]) -> bool {
    let Ok(crl) = Crl::decode(bytes) else { return false };
    describe_the_same(head, &CrlNotice::of(&crl, head.issuer, head.origin.clone()))
        && crl.verify(signer, &AlgorithmPolicy::default()).is_ok()
}

/// Whether two notices say the same about a CRL. One that says something else about it, if only its size, is refused by
/// whoever compares, and so must silence nobody.
fn describe_the_same(one: &CrlNotice, other: &CrlNotice) -> bool {
    let described = |notice: &CrlNotice| {
        let whose = (notice.issuer, notice.issuer_name.clone(), notice.scope, notice.kind);
        (whose, notice.order(), notice.digest, notice.size_bytes)
    };
    described(one) == described(other)
}

fn unencodable(error: DecodeError) -> BusError {
    BusError::Damaged { what: "a notice".into(), why: error.to_string() }
}

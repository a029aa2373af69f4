//! [`Publisher`]: notices of CRLs and certificates, published once for ever.
//!
//! The CRL goes into the object store first, so that what a notice names can be had; but a notice is never withheld
//! because the store failed. A head with a greater number stands only if its CRL can be had and the issuer's own key
//! signed it: a lie about a number must not silence anybody.

use std::sync::Arc;

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Objects, Published, Standing, Stored};
use revocast_messages::{
    CertificateNotice, CrlNotice, DecodeError, Headers, Heartbeat, Instance, Origin, Role, decode, encode,
    subjects,
};
use revocast_pki::crl::Crl;
use revocast_pki::signature::AlgorithmPolicy;
use tracing::{info, warn};

/// The largest CRL that is fetched to judge another's claim.
const MAX_HEAD: usize = 256 << 20;

/// Publishes notices. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    bus: Bus,
    objects: Option<Arc<Objects>>,
}

impl Publisher {
    /// Over a connection; `holder` is the name under which leases are taken.
    pub async fn new(bus: &Bus, holder: &str) -> Publisher {
        let objects = match bus.objects(subjects::CRLS, subjects::LEASES, holder).await {
            Ok(objects) => Some(Arc::new(objects)),
            Err(error) => {
                warn!(%error, "without the object store: CRLs travel in notices or from the repository");
                None
            }
        };
        Publisher { bus: bus.clone(), objects }
    }

    /// The object store, where there is one.
    pub fn objects(&self) -> Option<&Objects> {
        self.objects.as_deref()
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
                Ok(head) if head.crl_id == ours.id => Standing::Same,
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

    async fn is_sound(&self, head: &CrlNotice, signer: &[u8]) -> bool {
        let bytes = match (&head.crl, &self.objects) {
            (Some(inline), _) => Some(inline.0.clone()),
            (None, Some(objects)) => objects.get(&head.digest.to_string(), MAX_HEAD).await.ok(),
            (None, None) => None,
        };
        let Some(crl) = bytes.and_then(|bytes| Crl::decode(bytes).ok()) else { return false };
        crl.id() == head.crl_id
            && crl.order() == head.order()
            && crl.verify(signer, &AlgorithmPolicy::default()).is_ok()
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
        self.bus.publish_head(stream, subject, headers, body, judge).await
    }

    async fn store(&self, crl: &[u8]) {
        let Some(objects) = &self.objects else { return };
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

fn unencodable(error: DecodeError) -> BusError {
    BusError::Damaged { what: "a notice".into(), why: error.to_string() }
}

//! The outbox: from the ledger to the broker, each notice until it is confirmed.
//!
//! The CRL goes into the object store first, so that what a notice names can be had; but a notice is never withheld
//! because the store failed. Publishing is idempotent, so the command line and the service may both carry.

use std::sync::Arc;

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Objects, Published, Standing, Stored};
use revocast_messages::{CertificateNotice, CrlNotice, DecodeError, Headers, Role, decode, encode, subjects};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::signature::AlgorithmPolicy;
use tracing::{info, warn};

use crate::authority::Head;
use crate::ledger::OutboxRow;

/// The largest CRL that is fetched to judge another's claim about our issuer.
const MAX_HEAD: usize = 256 << 20;

/// Carries notices to the broker. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    bus: Bus,
    objects: Option<Arc<Objects>>,
}

/// What became of one notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The subject on which it was published.
    pub subject: String,
    /// What the broker confirmed.
    pub published: Published,
}

impl Outbox {
    /// An outbox over a connection; `holder` is the name under which leases are taken.
    pub async fn new(bus: &Bus, holder: &str) -> Outbox {
        let objects = match bus.objects(subjects::CRLS, subjects::LEASES, holder).await {
            Ok(objects) => Some(Arc::new(objects)),
            Err(error) => {
                warn!(%error, "without the object store: CRLs travel in notices or from the repository");
                None
            }
        };
        Outbox { bus: bus.clone(), objects }
    }

    /// Publishes a notice of the ledger, with the CRL that it names, in the name of the CA with this certificate.
    pub async fn deliver(&self, row: &OutboxRow, ca: &Certificate) -> Result<Delivered, BusError> {
        match &row.crl {
            Some(crl) => {
                let notice: CrlNotice = decode(&row.body).map_err(damaged)?;
                self.deliver_crl(&notice, crl, ca).await
            }
            None => {
                let notice: CertificateNotice = decode(&row.body).map_err(damaged)?;
                self.deliver_certificate(&notice).await
            }
        }
    }

    pub(crate) async fn assert(&self, head: &Head, ca: &Certificate) -> Result<Delivered, BusError> {
        match head {
            Head::Crl(notice, crl) => self.deliver_crl(notice, crl.der(), ca).await,
            Head::Certificate(notice) => self.deliver_certificate(notice).await,
        }
    }

    async fn deliver_crl(
        &self,
        notice: &CrlNotice,
        crl: &[u8],
        ca: &Certificate,
    ) -> Result<Delivered, BusError> {
        self.store(crl).await;
        let ours = notice.order();
        let judge = |head: Stored| async move {
            match decode::<CrlNotice>(&head.payload) {
                Ok(head) if head.crl_id == ours.id => Standing::Same,
                Ok(head) if head.order() > ours && self.is_sound(&head, ca).await => Standing::Better,
                _ => Standing::Worse,
            }
        };
        let subject = notice.subject().to_string();
        let body = encode(notice).map_err(damaged)?.into();
        let published = self.publish(&subject, &notice.headers(), body, judge).await?;
        let number = notice.number.map(|number| number.to_string());
        info!(%subject, number, ?published, "CRL notice");
        Ok(Delivered { subject, published })
    }

    /// A head with a greater number is believed only if its CRL can be had and the CA's own key signed it: a lie
    /// about a number must not silence the CA.
    async fn is_sound(&self, head: &CrlNotice, ca: &Certificate) -> bool {
        let bytes = match (&head.crl, &self.objects) {
            (Some(inline), _) => Some(inline.0.clone()),
            (None, Some(objects)) => objects.get(&head.digest.to_string(), MAX_HEAD).await.ok(),
            (None, None) => None,
        };
        let Some(crl) = bytes.and_then(|bytes| Crl::decode(bytes).ok()) else { return false };
        crl.id() == head.crl_id
            && crl.order() == head.order()
            && crl.verify(ca.spki(), &AlgorithmPolicy::default()).is_ok()
    }

    async fn deliver_certificate(&self, notice: &CertificateNotice) -> Result<Delivered, BusError> {
        let ours = notice.id();
        let judge = move |head: Stored| async move {
            match decode::<CertificateNotice>(&head.payload) {
                Ok(head) if head.id() == ours => Standing::Same,
                _ => Standing::Worse,
            }
        };
        let subject = notice.subject().to_string();
        let body = encode(notice).map_err(damaged)?.into();
        let published = self.publish(&subject, &notice.headers(), body, judge).await?;
        Ok(Delivered { subject, published })
    }

    async fn publish<J, F>(
        &self,
        subject: &str,
        headers: &Headers,
        body: Bytes,
        judge: J,
    ) -> Result<Published, BusError>
    where
        J: Fn(Stored) -> F + Send + Sync,
        F: Future<Output = Standing> + Send,
    {
        self.bus.publish_head(Role::Authority.stream(), subject, headers, body, judge).await
    }

    async fn store(&self, crl: &[u8]) {
        let Some(objects) = &self.objects else { return };
        if let Err(error) = objects.put(crl).await {
            warn!(%error, "a CRL is not in the object store; its notice goes out all the same");
        }
    }
}

fn damaged(error: DecodeError) -> BusError {
    BusError::Damaged { what: "a notice of the ledger".into(), why: error.to_string() }
}

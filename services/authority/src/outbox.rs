//! The outbox: from the ledger to the broker, each notice until it is confirmed.
//!
//! Publishing is idempotent, so the command line and the service may both carry.

use revocast_bus::{Bus, BusError, Published};
use revocast_fleet::Publisher;
use revocast_messages::{CertificateNotice, CrlNotice, DecodeError, decode};
use revocast_pki::certificate::Certificate;

use crate::authority::Head;
use crate::ledger::OutboxRow;

/// Carries notices to the broker. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    publisher: Publisher,
}

impl Outbox {
    /// An outbox over a connection; `holder` is the name under which leases are taken.
    pub async fn new(bus: &Bus, holder: &str) -> Outbox {
        Outbox { publisher: Publisher::new(bus, holder).await }
    }

    /// Publishes a notice of the ledger, with the CRL that it names, in the name of the CA with this certificate.
    pub async fn deliver(&self, row: &OutboxRow, ca: &Certificate) -> Result<Published, BusError> {
        match &row.crl {
            Some(crl) => {
                let notice: CrlNotice = decode(&row.body).map_err(damaged)?;
                self.publisher.publish_crl(&notice, crl, ca.spki()).await
            }
            None => {
                let notice: CertificateNotice = decode(&row.body).map_err(damaged)?;
                self.publisher.publish_certificate(&notice).await
            }
        }
    }

    /// Says again what stands.
    pub(crate) async fn assert(&self, head: &Head, ca: &Certificate) -> Result<Published, BusError> {
        match head {
            Head::Crl(notice, crl) => self.publisher.publish_crl(notice, crl.der(), ca.spki()).await,
            Head::Certificate(notice) => self.publisher.publish_certificate(notice).await,
        }
    }
}

fn damaged(error: DecodeError) -> BusError {
    BusError::Damaged { what: "a notice of the ledger".into(), why: error.to_string() }
}

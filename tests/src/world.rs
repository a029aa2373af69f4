//! [`World`]: a broker, a root and a CA below it, and a registrar that grants every subscription.

use std::time::Duration;

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Objects, Service};
use revocast_fleet::Publisher;
use revocast_fleet::registrar::{self, Knowledge, Responsible};
use revocast_messages::{CrlNotice, Receipt, Role, ScopeState, decode, encode, subjects};
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CrlKind, IssuerId};
use tempfile::TempDir;

use crate::{NatsServer, TestCa, ValidatorProcess, eventually, sha256_hex};

/// ```text
///   root > issuing > leaves --notices--> nats-server --> validators --receipts-->
/// ```
pub struct World {
    /// The broker.
    pub nats: NatsServer,
    /// A connection of the CAs.
    pub bus: Bus,
    /// The anchor of all validators. Its CRL number 1 without entries is published.
    pub root: TestCa,
    /// The CA below it. Its certificate is published, and no CRL yet.
    pub issuing: TestCa,
    folder: TempDir,
    _registrar: Service,
}

/// What the registrar tells subscribers: nothing but the time.
struct Known;

impl Knowledge for Known {
    fn now_ms(&self) -> i64 {
        revocast_daemon::Clock::system().now_ms()
    }

    async fn scopes(&self, _: Option<IssuerId>) -> Vec<ScopeState> {
        Vec::new()
    }
}

impl World {
    /// A broker with the declared streams, and what the CAs say first.
    pub async fn start() -> World {
        let nats = NatsServer::start().await;
        let bus = nats.bus("world").await;
        let root = TestCa::new("CN=Root,O=Test");
        let issuing = root.subordinate("CN=Issuing,O=Test");
        let who = Responsible {
            role: Role::Authority,
            instance: "authority-1".parse().unwrap(),
            issuers: vec![root.issuer(), issuing.issuer()],
            longest_lease: Duration::from_secs(3_600),
        };
        let registrar = registrar::start(&bus, who, Known).await.unwrap();
        let folder = tempfile::Builder::new().prefix("revocast-world-").tempdir().unwrap();
        let world = World { nats, bus, root, issuing, folder, _registrar: registrar };
        world.introduce().await;
        world
    }

    /// Says (again) what the CAs say first.
    pub async fn introduce(&self) {
        self.introduce_one(&self.issuing).await;
        self.publish(&self.root, &self.root.crl(1, 0)).await;
    }

    /// Says that a CA is there.
    pub async fn introduce_one(&self, ca: &TestCa) {
        let publisher = Publisher::new(&self.bus, "world").await;
        publisher.publish_certificate(&ca.certificate_notice()).await.unwrap();
    }

    /// A validator of this world that does not run yet; `more` is added to its configuration.
    pub fn validator(&self, name: &str, more: &str) -> ValidatorProcess {
        ValidatorProcess::new(self.folder.path(), name, &[self.nats.url()], &self.root.certificate, more)
    }

    /// The same, reaching the broker by another URL.
    pub fn validator_at(&self, nats: String, name: &str) -> ValidatorProcess {
        ValidatorProcess::new(self.folder.path(), name, &[nats], &self.root.certificate, "")
    }

    /// Deletes a stream with all that is in it.
    pub async fn delete_stream(&self, name: &str) {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        async_nats::jetstream::new(client).delete_stream(name).await.unwrap();
    }

    /// Stores a CRL and publishes its notice, as an authority does.
    pub async fn publish(&self, ca: &TestCa, crl: &Crl) {
        let publisher = Publisher::new(&self.bus, "world").await;
        publisher.publish_crl(&ca.notice(crl), crl.der(), ca.certificate.spki()).await.unwrap();
    }

    /// Publishes a notice as it is, without looking at what stands there and without storing anything.
    pub async fn tell(&self, notice: &CrlNotice) {
        self.tell_bytes(notice, encode(notice).unwrap().into()).await;
    }

    /// Publishes any bytes where a notice would be.
    pub async fn tell_bytes(&self, notice: &CrlNotice, body: Bytes) {
        let subject = notice.subject().to_string();
        self.bus.publish(subjects::NOTICES, &subject, &Vec::new(), body).await.unwrap();
    }

    /// Puts a CRL where validators look first.
    pub async fn store(&self, crl: &Crl) {
        self.objects().await.put(crl.der()).await.unwrap();
    }

    /// Whether a CRL is where validators look first.
    pub async fn has(&self, crl: &Crl) -> bool {
        self.objects().await.has(&sha256_hex(crl.der())).await.unwrap()
    }

    async fn objects(&self) -> Objects {
        self.bus.objects(subjects::CRLS, subjects::LEASES, "world").await.unwrap()
    }

    /// Number of the CRL of `ca` that a validator has told the fleet it enforces; 0 if it has told nothing.
    pub async fn told(&self, validator: &ValidatorProcess, ca: &TestCa) -> u64 {
        let what = "the broker says what was told";
        eventually(what, async || receipt(&self.bus, validator.name(), ca).await.ok()).await
    }
}

/// Number of the CRL of `ca` in a validator's last receipt; 0 if there is none.
pub async fn receipt(bus: &Bus, validator: &str, ca: &TestCa) -> Result<u64, BusError> {
    let subject = subjects::Subject::Receipt {
        validator: validator.parse().unwrap(),
        issuer: ca.issuer(),
        scope: ca.crl(0, 0).scope(ca.issuer()),
        kind: CrlKind::Complete,
    };
    let head = bus.head(subjects::RECEIPTS, &subject.to_string()).await?;
    Ok(head.map_or(0, |head| {
        let receipt: Receipt = decode(&head.payload).unwrap();
        receipt.number.unwrap().to_string().parse().unwrap()
    }))
}

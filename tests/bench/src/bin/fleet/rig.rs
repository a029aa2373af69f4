//! What all of it stands on: a CA, a leaf, a broker, and validators in this process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use revocast_daemon::Context;
use revocast_fleet::Publisher;
use revocast_messages::{CertificateNotice, CrlNotice, Origin, Role};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::{Certificate, KeyUsage};
use revocast_pki::crl::Crl;
use revocast_pki::identity::IssuerId;
use revocast_pki::mint::{
    CertificateTemplate, CrlTemplate, GeneralName, KeyKind, RevokedEntry, SigningKey, key_id, name,
};
use revocast_tests::{NatsServer, free_address, http};
use revocast_validator::{PolicyConfig, ValidatorConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::Failure;

/// Octets of a leaf, about: what certificates of the web weigh.
const LEAF_OCTETS: usize = 1_024;

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(120);

/// A P-256 CA that is valid now.
pub(crate) struct Ca {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

impl Ca {
    /// A root of its own.
    pub(crate) fn root(subject: &str) -> Result<Ca, Failure> {
        let key = SigningKey::generate(KeyKind::EcdsaP256)?;
        let subject = name(subject)?;
        let template = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], validity());
        let certificate = Certificate::decode(template.sign(&subject, &key)?)?;
        Ok(Ca { key, certificate })
    }

    /// A CA below this one.
    pub(crate) fn below(&self, subject: &str, serial: u32) -> Result<Ca, Failure> {
        let key = SigningKey::generate(KeyKind::EcdsaP256)?;
        let serial = (serial | 0x4000_0000).to_be_bytes();
        let template = CertificateTemplate {
            authority_key_id: Some(key_id(self.key.spki()).to_vec()),
            ..CertificateTemplate::ca(name(subject)?, key.spki(), &serial, validity())
        };
        let certificate = Certificate::decode(template.sign(self.certificate.subject(), &self.key)?)?;
        Ok(Ca { key, certificate })
    }

    /// An end entity of about [`LEAF_OCTETS`].
    pub(crate) fn leaf(&self, serial: u32) -> Result<Vec<u8>, Failure> {
        let key = SigningKey::generate(KeyKind::EcdsaP256)?;
        let octets = (serial | 0x4000_0000).to_be_bytes();
        let mut template =
            CertificateTemplate::new(name(&format!("CN=Leaf {serial}"))?, key.spki(), &octets, validity());
        template.authority_key_id = Some(key_id(self.key.spki()).to_vec());
        template.key_usage = Some(KeyUsage::DIGITAL_SIGNATURE);
        let names = (0..16).map(|n| format!("host-{n}.of-a-common-length.example.com"));
        template.subject_alt_names = names.map(GeneralName::Dns).collect();
        let der = template.sign(self.certificate.subject(), &self.key)?;
        debug_assert!(der.len().abs_diff(LEAF_OCTETS) < 300, "{} octets", der.len());
        Ok(der)
    }

    /// A CRL of this number with these entries.
    pub(crate) fn crl(
        &self,
        number: u64,
        entries: impl IntoIterator<Item = RevokedEntry>,
    ) -> Result<Crl, Failure> {
        let at = now().plus(number as i64 - 100_000);
        let template = CrlTemplate {
            authority_key_id: Some(key_id(self.key.spki()).to_vec()),
            ..CrlTemplate::new(self.certificate.subject().clone(), number, at, at.plus(30 * 86_400))
        };
        Ok(Crl::decode(template.sign(entries, &self.key)?)?)
    }

    pub(crate) fn issuer(&self) -> IssuerId {
        self.certificate.as_issuer()
    }

    /// A notice of a CRL, as an authority tells it.
    pub(crate) fn notice(&self, crl: &Crl) -> CrlNotice {
        CrlNotice::of(crl, self.issuer(), origin())
    }

    /// Publishes a CRL as an authority does.
    pub(crate) async fn publish(&self, publisher: &Publisher, crl: &Crl) -> Result<(), Failure> {
        publisher.publish_crl(&self.notice(crl), crl.der(), self.key.spki()).await?;
        Ok(())
    }

    /// Publishes its certificate, which `above` issued.
    pub(crate) async fn introduce_under(
        &self,
        above: IssuerId,
        publisher: &Publisher,
    ) -> Result<(), Failure> {
        let notice = CertificateNotice {
            issuer: above,
            certificate: self.certificate.der().clone().into(),
            origin: origin(),
            locations: Vec::new(),
        };
        publisher.publish_certificate(&notice).await?;
        Ok(())
    }
}

fn origin() -> Origin {
    let instance = "authority-1".parse().unwrap_or_else(|_| unreachable!("a subject token"));
    Origin { role: Role::Authority, instance, seen_at_ms: 0 }
}

pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_unix(since.as_secs() as i64)
}

fn validity() -> (Time, Time) {
    (now().plus(-86_400), now().plus(365 * 86_400))
}

/// A validator that runs in this process.
pub(crate) struct Validator {
    pub(crate) context: Context,
    pub(crate) address: SocketAddr,
    running: JoinHandle<()>,
}

impl Validator {
    /// Starts one that believes `anchor`, with its state in `folder`.
    pub(crate) fn start(name: &str, anchor: &Path, folder: &Path, nats: Option<&NatsServer>) -> Validator {
        let address = free_address();
        let policy = PolicyConfig { anchors: vec![anchor.to_owned()], ..PolicyConfig::default() };
        let mut config = ValidatorConfig {
            instance: name.parse().unwrap_or_else(|_| unreachable!("a subject token")),
            state: folder.join(name),
            listen: address,
            policies: [("default".to_owned(), policy)].into(),
            ..ValidatorConfig::default()
        };
        if let Some(nats) = nats {
            config.bus = nats.bus_config();
        } else {
            config.bus.servers = vec![format!("nats://{}", free_address())];
        }
        let context = Context::default();
        let given = context.clone();
        let running = tokio::spawn(async move {
            if let Err(error) = revocast_validator::run(config, given).await {
                eprintln!("a validator ended: {error}");
            }
        });
        Validator { context, address, running }
    }

    /// Until the HTTP door is open and the streams are read; nobody here answers subscriptions.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if http(self.address, "GET", "/readyz", &[], &[]).await.is_some_and(|answer| answer.status == 200)
                && self.context.health.reasons().iter().all(|reason| reason.about == "subscription")
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("a validator does not follow: {:?}", self.context.health.reasons()).into())
    }

    pub(crate) async fn stop(self) {
        self.context.stop.cancel();
        let _ = self.running.await;
    }
}

/// Polls `done`; fails after a minute.
pub(crate) async fn until(what: &str, done: impl Fn() -> bool) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > deadline {
            return Err(format!("waited a minute in vain until {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A folder in memory where there is one, so that the disk is not what is measured; `true` if it is.
pub(crate) fn folder_in_memory() -> Result<(TempDir, bool), Failure> {
    let shm = Path::new("/dev/shm");
    let make = |builder: &mut tempfile::Builder<'_, '_>| {
        if shm.is_dir() {
            builder.tempdir_in(shm).map(|folder| (folder, true))
        } else {
            builder.tempdir().map(|folder| (folder, false))
        }
    };
    Ok(make(tempfile::Builder::new().prefix("revocast-bench-"))?)
}

/// The share of sorted values below which `share` of them lie.
pub(crate) fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    values.get(((values.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or_default()
}

/// Keeps the processors from halting for as long as it lives: on each something runs that stands back for all else. A
/// virtual processor that halts between two messages takes microseconds to be woken, and whoever wakes it pays for a part
/// of them.
pub(crate) struct Awake(Vec<Child>);

impl Awake {
    pub(crate) fn start() -> std::io::Result<Awake> {
        // Ends with this process, however that ends.
        let spin = "while [ -d /proc/$PPID ]; do i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; done";
        let mut awake = Awake(Vec::new());
        for _ in 0..std::thread::available_parallelism()?.get() {
            awake.0.push(Command::new("nice").args(["-n", "19", "sh", "-c", spin]).spawn()?);
        }
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Processor time of this process so far.
pub(crate) fn cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

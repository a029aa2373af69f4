//! [`LoadedFleet`]: validators that come and go while CRLs are issued that nobody can have but by a download.

use revocast_pki::certificate::Certificate;

use crate::askers::Asked;
use crate::{PlainServer, ValidatorProcess, World, eventually};

/// Entries that make a CRL too large for its notice.
const ENTRIES: u32 = 12_000;
/// The serial number of whatever is never revoked.
const NEVER: u32 = 1_000_000;

/// Validators behind one queue group, and a CA whose CRLs lie at one URL.
pub struct LoadedFleet {
    /// Broker and CAs.
    pub world: World,
    site: PlainServer,
    validators: Vec<ValidatorProcess>,
    leaves: Vec<Certificate>,
    issued: u32,
    killed: u64,
    /// Whose turn it is to be stopped or killed.
    turn: usize,
    /// Who was stopped and not started since.
    away: Vec<usize>,
}

impl LoadedFleet {
    /// `count` validators, and a CA that will issue up to `crls` CRLs.
    pub async fn start(count: usize, crls: u32) -> LoadedFleet {
        let world = World::start().await;
        let leaves = (0..crls).map(|n| world.issuing.leaf(ENTRIES + n)).collect();
        let site = PlainServer::start(b"").await;
        let (validators, away) = (Vec::new(), Vec::new());
        let mut fleet = LoadedFleet { world, site, validators, leaves, issued: 0, killed: 0, turn: 0, away };
        for _ in 0..count {
            fleet.add();
        }
        fleet
    }

    /// What askers can ask about: leaf n is revoked by CRL n + 1.
    pub fn asked(&self) -> Asked {
        Asked {
            issuer: self.world.issuing.issuer(),
            leaves: self.leaves.clone(),
            good: self.world.issuing.leaf(NEVER),
        }
    }

    /// Issues the next CRL, and tells where it lies.
    pub async fn issue(&mut self) {
        self.issued += 1;
        let crl = self.world.issuing.crl(self.issued.into(), ENTRIES + self.issued);
        self.site.show(crl.der());
        let mut notice = self.world.issuing.notice(&crl);
        assert_eq!(notice.crl, None, "too large for its notice");
        notice.locations = vec![self.site.url(&format!("/{}.crl", self.issued))];
        self.world.tell(&notice).await;
    }

    /// Waits until every validator that runs has told that it enforces the newest CRL.
    pub async fn all_enforce(&mut self) {
        for (n, validator) in self.validators.iter_mut().enumerate() {
            if self.away.contains(&n) {
                continue;
            }
            assert!(validator.is_running(), "{} ended by itself: {}", validator.name(), validator.log());
            let what = format!("{} tells that it enforces CRL {}", validator.name(), self.issued);
            eventually(&what, async || {
                let told = self.world.told(validator, &self.world.issuing).await;
                (told == u64::from(self.issued)).then_some(())
            })
            .await;
        }
    }

    /// One more validator.
    pub fn add(&mut self) {
        let more = format!(
            "repositories = ['{}']\n[fetch]\nallowed_networks = ['127.0.0.0/8']\n",
            self.site.url("/")
        );
        let mut joins = self.world.validator(&format!("v{}", self.validators.len() + 1), &more);
        joins.start();
        self.validators.push(joins);
    }

    /// SIGTERM to one; it stays away.
    pub fn stop_one(&mut self) {
        let n = self.next();
        self.validators[n].stop();
        self.away.push(n);
    }

    /// SIGKILL to one; it comes again at once.
    pub fn kill_one(&mut self) {
        self.killed += 1;
        let n = self.next();
        self.validators[n].kill();
        self.validators[n].start();
    }

    /// Whoever was stopped comes again.
    pub fn start_stopped(&mut self) {
        for n in std::mem::take(&mut self.away) {
            self.validators[n].start();
        }
    }

    /// Nothing happens.
    pub fn nothing(&mut self) {}

    /// The next one that is there.
    fn next(&mut self) -> usize {
        loop {
            self.turn = (self.turn + 1) % self.validators.len();
            if !self.away.contains(&self.turn) {
                return self.turn;
            }
        }
    }

    /// How many CRLs were issued.
    pub fn issued(&self) -> u64 {
        self.issued.into()
    }

    /// How many validators were killed.
    pub fn killed(&self) -> u64 {
        self.killed
    }

    /// How often a CRL was downloaded from its URL.
    pub fn downloads(&self) -> u64 {
        self.site.whole()
    }
}

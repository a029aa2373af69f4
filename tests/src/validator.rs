//! [`ValidatorProcess`]: `revocast validator run` as a process that a test starts, arms, kills and asks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use revocast_messages::{Answer, codec};
use revocast_pki::certificate::Certificate;
use serde_json::Value;

use crate::fleet::program;
use crate::process::Process;
use crate::{DEADLINE, HttpAnswer, NatsServer, TestCa, free_address, http, http_get};

/// Whoever answers does so within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// One validator with a folder of its own, running or not.
pub struct ValidatorProcess {
    name: String,
    address: SocketAddr,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    process: Option<Process>,
}

/// What a validator says of one certificate over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `valid`, `revoked`, `invalid` or `indeterminate`.
    pub outcome: String,
    /// Number of the CRL that decided about the certificate itself.
    pub number: Option<u64>,
    /// Seconds since that CRL was issued.
    pub age_s: Option<i64>,
}

impl Said {
    /// What an answer says of `certificate`, which stands first in it.
    pub fn about(certificate: &Certificate, answer: &Answer) -> Option<Said> {
        let judgement = answer.judgements.first()?;
        let decided = judgement.evidence.iter().find(|found| found.certificate == certificate.id());
        let number = decided.and_then(|found| found.number?.to_string().parse().ok());
        let age_s = decided.map(|found| found.age_s);
        Some(Said { outcome: judgement.outcome.to_string(), number, age_s })
    }
}

impl ValidatorProcess {
    /// A validator `name` in `folder/name` that believes `anchor` and reaches the broker at any of `servers`; `more` is
    /// added to its configuration. It does not run yet.
    pub fn new(
        folder: &Path,
        name: &str,
        servers: &[String],
        anchor: &Certificate,
        more: &str,
    ) -> ValidatorProcess {
        let (folder, address) = (folder.join(name), free_address());
        std::fs::create_dir_all(&folder).unwrap();
        let (file, state) = (folder.join("anchor.crt"), folder.join("state"));
        std::fs::write(&file, anchor.der()).unwrap();
        let config = format!(
            "instance = '{name}'\nstate = {state:?}\nlisten = '{address}'\nlease = '6s'\n{more}\n\
             [bus]\nservers = {servers:?}\n[policies.default]\nanchors = [{file:?}]\n"
        );
        std::fs::write(folder.join("validator.toml"), config).unwrap();
        ValidatorProcess { name: name.to_owned(), address, folder, environment: Vec::new(), process: None }
    }

    /// From its next start on it is the broker's user of its role, with the permissions of `nats/accounts.conf`.
    pub fn connect_by_role(&mut self) {
        self.environment = NatsServer::environment_of("validator").into();
    }

    /// Adds a line to its policy, for its next start.
    pub fn say_of_the_policy(&self, line: &str) {
        // The policy comes last.
        let file = self.folder.join("validator.toml");
        let config = std::fs::read_to_string(&file).unwrap() + line + "\n";
        std::fs::write(file, config).unwrap();
    }

    /// Its name among the instances.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Folder of its journal and its CRL files.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Starts it, with its state as it is.
    pub fn start(&mut self) {
        self.launch(self.command());
    }

    /// Starts it so that it dies at a fail point: `name` or `name:nth`.
    pub fn start_armed(&mut self, fail_at: &str) {
        let mut command = self.command();
        command.env("REVOCAST_FAIL_AT", fail_at);
        self.launch(command);
    }

    /// Starts it so that a task of it panics at a fail point: `name` or `name:nth`.
    pub fn start_panicking(&mut self, panic_at: &str) {
        let mut command = self.command();
        command.env("REVOCAST_PANIC_AT", panic_at);
        self.launch(command);
    }

    /// Starts it so that a file above its limit is an error to it, as a full disk would be, and not the end.
    pub fn start_on_a_small_disk(&mut self) {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program()).args(self.arguments());
        self.launch(command);
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.args(self.arguments());
        command
    }

    fn arguments(&self) -> Vec<PathBuf> {
        let words = ["validator", "run", "--config"].map(PathBuf::from);
        words.into_iter().chain([self.folder.join("validator.toml")]).collect()
    }

    fn launch(&mut self, mut command: Command) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        command.envs(self.environment.iter().cloned()).stdout(Stdio::null()).stderr(log);
        self.process = Some(Process::start(&self.name, &mut command));
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Whether it was started and has not ended since.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// How it ended, if it was started and has ended by itself since it was asked last.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.is_running() {
            return None;
        }
        self.process.take().map(|mut process| process.wait(Duration::ZERO))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGTERM; it must end well.
    pub fn stop(&mut self) {
        let status = self.process().stop(DEADLINE);
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.log());
        self.process = None;
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// A GET at its door; `None` if nobody answers.
    pub async fn get(&self, path: &str) -> Option<HttpAnswer> {
        tokio::time::timeout(PATIENCE, http_get(self.address, path)).await.ok()?
    }

    /// Whether it is ready, and for what reasons not or not well.
    pub async fn readiness(&self) -> Option<(bool, Vec<String>)> {
        let told = self.get("/readyz").await?.json();
        let about = |reason: &Value| reason["about"].as_str().map(str::to_owned);
        let reasons = told["reasons"].as_array()?.iter().filter_map(about).collect();
        Some((told["ready"].as_bool()?, reasons))
    }

    /// Number of the CRL of `ca` that it enforces; `Some(None)` if it enforces none.
    pub async fn enforces(&self, ca: &TestCa) -> Option<Option<u64>> {
        let scopes = self.get("/v1/scopes").await?.json();
        let issuer = ca.issuer().to_string();
        let found = scopes.as_array()?.iter().find(|scope| scope["issuer"] == issuer.as_str());
        Some(found.and_then(|scope| scope["number"].as_str()?.parse().ok()))
    }

    /// What it says of a certificate; `None` if nobody answers.
    pub async fn says(&self, certificate: &Certificate) -> Option<Said> {
        let asked = http(self.address, "POST", "/v1/validate", &[], certificate.der());
        let answer: Answer =
            codec::from_json(&tokio::time::timeout(PATIENCE, asked).await.ok()??.body).ok()?;
        Said::about(certificate, &answer)
    }

    /// How many debts it has.
    pub async fn owes(&self) -> Option<u64> {
        debts(&self.get("/metrics").await?)
    }
}

/// How many debts a validator's metrics tell.
pub fn debts(metrics: &HttpAnswer) -> Option<u64> {
    let text = String::from_utf8_lossy(&metrics.body);
    let value = text.lines().find_map(|line| line.strip_prefix("revocast_notices_owed"))?.to_owned();
    let value: f64 = value.trim_start_matches("{}").trim().parse().ok()?;
    Some(value as u64)
}

/// What it said last is worth reading when a test fails.
impl Drop for ValidatorProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- {}\n{}", self.name, lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

//! [`Fleet`]: an authority's ledger and services as real processes around one broker.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::{DEADLINE, NatsServer, eventually, root};

/// Real processes of the one program, around a real broker, in a temporary folder.
pub struct Fleet {
    /// The broker.
    pub nats: NatsServer,
    folder: TempDir,
    services: Vec<(String, Process)>,
    /// Whether everybody connects as the user of its role.
    by_role: bool,
}

impl Fleet {
    /// A broker with the declared streams, and an empty folder.
    pub async fn start() -> Fleet {
        Fleet::around(NatsServer::start().await, false)
    }

    /// The same, with every service and verb under the permissions of its role in `nats/accounts.conf`.
    pub async fn with_accounts() -> Fleet {
        Fleet::around(NatsServer::with_accounts().await, true)
    }

    /// The same as [`Fleet::start`], around a broker with little room.
    pub async fn with_little_room() -> Fleet {
        Fleet::around(NatsServer::small().await, false)
    }

    fn around(nats: NatsServer, by_role: bool) -> Fleet {
        let folder = tempfile::Builder::new().prefix("revocast-fleet-").tempdir().unwrap();
        Fleet { nats, folder, services: Vec::new(), by_role }
    }

    /// A file of the fleet's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a verb of the program to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs a verb that must succeed; its result as JSON.
    pub fn json(&self, words: &[&str]) -> Value {
        let (code, value) = self.json_with_code(words);
        assert_eq!(code, 0, "{words:?} printed {value}");
        value
    }

    /// Runs a verb; its exit code, and its result as JSON.
    pub fn json_with_code(&self, words: &[&str]) -> (i32, Value) {
        let output = self.command(words).arg("--json").output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let value = serde_json::from_str(&printed).unwrap_or_else(|error| {
            panic!(
                "{words:?} printed no JSON ({error}): {printed}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        (output.status.code().unwrap(), value)
    }

    /// The program, with the fleet's broker and ledger, in the fleet's folder.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(words)
            .current_dir(self.folder.path())
            .env("REVOCAST_NATS", self.nats.url())
            .env("REVOCAST_LEDGER", self.path("authority.db"))
            .stdin(Stdio::null());
        if self.by_role {
            command.envs(NatsServer::environment_of(role_of(words)));
        }
        command
    }

    /// A root `root` and a CA `issuing` below it, and a leaf `leaf.crt` of that.
    pub fn init_cas(&self) {
        self.json(&["ca", "init", "root", "--subject", "CN=Root,O=Test", "--out", "root.crt"]);
        self.json(&[
            "ca",
            "init",
            "issuing",
            "--parent",
            "root",
            "--subject",
            "CN=Issuing,O=Test",
            "--out",
            "issuing.crt",
        ]);
        self.issue("leaf");
    }

    /// Issues `<name>.crt` under `issuing`.
    pub fn issue(&self, name: &str) {
        let (subject, dns) = (format!("CN={name}"), format!("{name}.example"));
        let out = format!("{name}.crt");
        self.json(&["ca", "issue", "issuing", "--subject", &subject, "--dns", &dns, "--out", &out]);
    }

    /// Starts the authority's service.
    pub fn start_authority(&mut self) {
        let config =
            format!("ledger = {:?}\nlisten = '127.0.0.1:0'\nheartbeat = '1s'\n", self.path("authority.db"));
        self.start_service("authority", "authority-1", &config);
    }

    /// Starts (again) a validator that believes `root.crt`; `more` is added to its configuration.
    pub fn start_validator(&mut self, name: &str, more: &str) {
        let config = format!(
            "instance = '{name}'\nstate = {:?}\nlisten = '127.0.0.1:0'\nlease = '6s'\n{more}\n[policies.default]\nanchors = [{:?}]\n",
            self.path(name),
            self.path("root.crt"),
        );
        self.start_service("validator", name, &config);
    }

    /// Starts a service with a configuration, to which the broker's URL is added; `name` is its handle.
    pub fn start_service(&mut self, role: &str, name: &str, config: &str) {
        let file = self.path(&format!("{name}.toml"));
        std::fs::write(&file, config).unwrap();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")))
            .unwrap();
        let mut command = self.command(&[role, "run", "--config"]);
        command.arg(&file).env("REVOCAST__BUS__SERVERS", self.nats.url()).stdout(Stdio::null()).stderr(log);
        self.services.retain(|(known, _)| known != name);
        self.services.push((name.to_owned(), Process::start(name, &mut command)));
    }

    /// A running service.
    pub fn service(&mut self, name: &str) -> &mut Process {
        let found = self.services.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, process)| process).unwrap_or_else(|| panic!("{name} was never started"))
    }

    /// SIGKILL to a service.
    pub fn kill(&mut self, name: &str) {
        self.service(name).kill();
    }

    /// SIGTERM to a service, which must end well.
    pub fn stop(&mut self, name: &str) {
        let status = self.service(name).stop(DEADLINE);
        assert!(status.success(), "{name} ended with {status}: {}", self.log(name));
    }

    /// What a service has logged.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// One validator's verdict on a certificate file, asked over NATS by name; `None` while it does not answer.
    pub fn verdict(&self, validator: &str, certificate: &str) -> Option<String> {
        let output = self
            .command(&["cert", "check", "--cert", certificate, "--validator", validator, "--json"])
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(answer["judgements"][0]["outcome"].as_str()?.to_owned())
    }

    /// Waits until a validator says this of a certificate file.
    pub async fn expect(&self, validator: &str, certificate: &str, outcome: &str) {
        let what = format!("{validator} says that {certificate} is {outcome}");
        eventually(&what, async || (self.verdict(validator, certificate)? == outcome).then_some(())).await;
    }

    /// Waits until every subscriber of every scope enforces the newest CRL, there are `validators` of them, and those that
    /// run here answer questions over NATS: receipts come a moment before the doors open.
    pub async fn settled(&self, validators: usize) {
        eventually("every subscriber enforces the newest CRLs", async || {
            let (code, scopes) = self.json_with_code(&["status"]);
            let subscribed = scopes[0]["validators"].as_array()?.len();
            (code == 0 && subscribed == validators).then_some(())
        })
        .await;
        eventually("every validator answers", async || {
            let (_, members) = self.json_with_code(&["status", "--validators"]);
            let members = members.as_array()?;
            let is_here = |member: &&Value| {
                let here = self.services.iter().find(|(name, _)| member["validator"] == name.as_str());
                here.is_some_and(|(_, process)| process.is_there())
            };
            members.iter().filter(is_here).all(|member| member["running"]["ready"] == true).then_some(())
        })
        .await;
    }
}

/// Whose user a service or a verb connects as.
fn role_of<'w>(words: &[&'w str]) -> &'w str {
    match words.first() {
        Some(&"ca") => "authority",
        Some(&"cert") => "client",
        Some(&"nats") => "operator",
        Some(&"notices" | &"status") => "monitor",
        Some(role) => role,
        None => "client",
    }
}

/// What the services said last is worth reading when a test fails.
impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (name, _) in &self.services {
                let log = self.log(name);
                let lines: Vec<&str> = log.lines().collect();
                let last = lines.len().saturating_sub(40);
                eprintln!("--- {name}\n{}", lines[last..].join("\n"));
            }
        }
    }
}

/// The program under test: built beside the tests.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let beside = tests.ancestors().nth(2).map(|folder| folder.join("revocast"));
    let built = beside.filter(|path| path.exists()).unwrap_or_else(|| root().join("target/debug/revocast"));
    assert!(Path::new(&built).exists(), "{} is not built: run `make build`", built.display());
    built
}

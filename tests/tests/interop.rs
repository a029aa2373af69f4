//! A CA that nobody here wrote: the OpenSSL command line, its CRL served by a plain HTTP server.
//!
//! ```text
//!   openssl ca (root > intermediate > leaf, CDP)  -->  python3 -m http.server  <--polls--  watcher
//!                                                                                            |
//!                                                     v1 v2 v3  <--  nats-server  <--notice--+
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

use revocast_tests::{Fleet, Process, eventually, free_address};

/// A root, an intermediate, a leaf with a CRL distribution point, by `openssl ca`.
struct OpenSsl<'f> {
    folder: &'f Path,
    base_url: String,
}

impl OpenSsl<'_> {
    fn run(&self, words: &[&str]) -> std::process::Output {
        let output = Command::new("openssl")
            .args(words)
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn set_up(&self) {
        for ca in ["root", "intermediate"] {
            std::fs::create_dir_all(self.folder.join(ca)).unwrap();
            std::fs::write(self.folder.join(ca).join("index.txt"), "").unwrap();
            std::fs::write(self.folder.join(ca).join("crlnumber"), "01\n").unwrap();
            std::fs::write(self.folder.join(format!("{ca}.cnf")), self.config(ca)).unwrap();
        }
        let key = |name: &str| {
            self.run(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name])
        };
        ["root.key", "intermediate.key", "leaf.key"].into_iter().for_each(|name| drop(key(name)));
        self.run(&[
            "req",
            "-new",
            "-x509",
            "-key",
            "root.key",
            "-config",
            "root.cnf",
            "-extensions",
            "v3_ca",
            "-subj",
            "/O=Foreign/CN=Foreign Root",
            "-days",
            "30",
            "-out",
            "root.pem",
        ]);
        self.run(&[
            "req",
            "-new",
            "-key",
            "intermediate.key",
            "-subj",
            "/O=Foreign/CN=Foreign CA",
            "-out",
            "intermediate.csr",
        ]);
        self.run(&[
            "ca",
            "-batch",
            "-config",
            "root.cnf",
            "-extensions",
            "v3_ca",
            "-in",
            "intermediate.csr",
            "-days",
            "20",
            "-out",
            "intermediate.pem",
            "-notext",
        ]);
        self.run(&[
            "req",
            "-new",
            "-key",
            "leaf.key",
            "-subj",
            "/O=Foreign/CN=leaf.example",
            "-out",
            "leaf.csr",
        ]);
        self.run(&[
            "ca",
            "-batch",
            "-config",
            "intermediate.cnf",
            "-extensions",
            "v3_leaf",
            "-in",
            "leaf.csr",
            "-days",
            "10",
            "-out",
            "leaf.pem",
            "-notext",
        ]);
        self.publish_crl("root");
        self.publish_crl("intermediate");
    }

    /// Issues a CRL, and puts it where the HTTP server finds it, in one step.
    fn publish_crl(&self, ca: &str) {
        let (pem, partial) = (format!("{ca}.crl.pem"), format!("{ca}.partial"));
        self.run(&["ca", "-gencrl", "-config", &format!("{ca}.cnf"), "-out", &pem]);
        self.run(&["crl", "-in", &pem, "-outform", "DER", "-out", &partial]);
        std::fs::create_dir_all(self.folder.join("www")).unwrap();
        std::fs::rename(self.folder.join(&partial), self.folder.join(format!("www/{ca}.crl"))).unwrap();
    }

    fn revoke_leaf(&self) {
        self.run(&[
            "ca",
            "-config",
            "intermediate.cnf",
            "-revoke",
            "leaf.pem",
            "-crl_reason",
            "keyCompromise",
        ]);
        self.publish_crl("intermediate");
    }

    /// What `openssl verify -crl_check_all` says of the leaf, in our words.
    fn verdict(&self) -> &'static str {
        let crls: Vec<u8> = ["root.crl.pem", "intermediate.crl.pem"]
            .into_iter()
            .flat_map(|name| std::fs::read(self.folder.join(name)).unwrap())
            .collect();
        std::fs::write(self.folder.join("crls.pem"), crls).unwrap();
        let output = Command::new("openssl")
            .args(["verify", "-crl_check_all", "-CAfile", "root.pem", "-CRLfile", "crls.pem"])
            .args(["-untrusted", "intermediate.pem", "leaf.pem"])
            .current_dir(self.folder)
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        match (output.status.success(), said.contains("certificate revoked")) {
            (true, _) => "valid",
            (false, true) => "revoked",
            (false, false) => panic!("openssl verify: {said}"),
        }
    }

    fn config(&self, ca: &str) -> String {
        format!(
            "[ca]\ndefault_ca = this\n[this]\ndir = ./{ca}\ndatabase = $dir/index.txt\nnew_certs_dir = $dir\n\
             rand_serial = yes\ncrlnumber = $dir/crlnumber\ncertificate = ./{ca}.pem\nprivate_key = ./{ca}.key\n\
             default_md = sha256\ndefault_crl_days = 2\npolicy = any\ncrl_extensions = crl_ext\nunique_subject = no\n\
             [any]\nO = optional\nCN = supplied\n\
             [req]\ndistinguished_name = dn\n[dn]\n\
             [crl_ext]\nauthorityKeyIdentifier = keyid\n\
             [v3_ca]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n\
             subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n\
             crlDistributionPoints = URI:{url}/root.crl\n\
             [v3_leaf]\nbasicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n\
             subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\nsubjectAltName = DNS:leaf.example\n\
             crlDistributionPoints = URI:{url}/intermediate.crl\n",
            url = self.base_url,
        )
    }
}

#[tokio::test]
async fn a_revocation_by_openssl_ca_is_enforced_by_three_validators_and_openssl_agrees_before_and_after() {
    let mut fleet = Fleet::start().await;
    let folder = fleet.path("");
    let port = free_address().port();
    let openssl = OpenSsl { folder: &folder, base_url: format!("http://127.0.0.1:{port}") };
    openssl.set_up();
    let mut server = Command::new("python3");
    server.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory", "www", &port.to_string()]);
    server.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Process::start("http.server", &mut server);

    let watch = |ca: &str| format!("[[watch]]\nurl = '{}/{ca}.crl'\ninterval = '200ms'\n", openssl.base_url);
    let config = format!(
        "state = {:?}\nlisten = '127.0.0.1:0'\ncertificates = [{:?}, {:?}]\n{}{}\n[fetch]\nallowed_networks = ['127.0.0.1/32']\n",
        fleet.path("watcher"),
        fleet.path("root.pem"),
        fleet.path("intermediate.pem"),
        watch("root"),
        watch("intermediate"),
    );
    fleet.start_service("watcher", "watcher-1", &config);
    for validator in ["v1", "v2", "v3"] {
        let config = format!(
            "instance = '{validator}'\nstate = {:?}\nlisten = '127.0.0.1:0'\n[policies.default]\nanchors = [{:?}]\n",
            fleet.path(validator),
            fleet.path("root.pem"),
        );
        fleet.start_service("validator", validator, &config);
    }

    assert_eq!(openssl.verdict(), "valid");
    for validator in ["v1", "v2", "v3"] {
        fleet.expect(validator, "leaf.pem", "valid").await;
    }
    openssl.revoke_leaf();
    assert_eq!(openssl.verdict(), "revoked");
    for validator in ["v1", "v2", "v3"] {
        fleet.expect(validator, "leaf.pem", "revoked").await;
    }
    eventually("the fleet's receipts say so, too", async || {
        let (_, scopes) = fleet.json_with_code(&["status"]);
        let scopes = scopes.as_array()?.clone();
        let ours = scopes
            .iter()
            .find(|scope| scope["issuer_name"].as_str().is_some_and(|name| name.contains("Foreign CA")))?;
        (ours["number"] == "2").then_some(())
    })
    .await;
}

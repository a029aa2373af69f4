//! Configuration: one struct per service, read from a TOML file and the environment; unknown keys are refused.

use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or an environment variable says something that the service does not know or cannot read.
    #[error("configuration{}: {why}", place(file))]
    Wrong {
        /// The file, if one was named.
        file: Option<PathBuf>,
        /// What is wrong, with the key.
        why: String,
    },
    /// The effective configuration cannot be shown.
    #[error("the configuration cannot be shown: {0}")]
    Shown(String),
}

fn place(file: &Option<PathBuf>) -> String {
    file.as_ref().map_or(String::new(), |file| format!(" {}", file.display()))
}

/// Reads a service's configuration: its defaults, then `file`, then the environment. `REVOCAST__HTTP__LISTEN` sets
/// `http.listen`; a list is given as a comma-separated value for the keys named in `lists`.
pub fn load<C: DeserializeOwned>(file: Option<&Path>, lists: &[&str]) -> Result<C, ConfigError> {
    load_from(file, lists, None)
}

fn load_from<C: DeserializeOwned>(
    file: Option<&Path>,
    lists: &[&str],
    variables: Option<std::collections::HashMap<String, String>>,
) -> Result<C, ConfigError> {
    let mut environment = Environment::with_prefix("REVOCAST")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .source(variables);
    for key in lists {
        environment = environment.with_list_parse_key(key);
    }
    let mut sources = Config::builder();
    if let Some(file) = file {
        sources = sources.add_source(File::from(file).format(FileFormat::Toml).required(true));
    }
    sources
        .add_source(environment)
        .build()
        .and_then(Config::try_deserialize)
        .map_err(|error| ConfigError::Wrong { file: file.map(Path::to_owned), why: error.to_string() })
}

/// The effective configuration as TOML, as a file that [`load`] reads would say it. Secrets are masked by their
/// own types.
pub fn show<C: Serialize>(config: &C) -> Result<String, ConfigError> {
    toml::to_string_pretty(config).map_err(|error| ConfigError::Shown(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        name: String,
        http: Http,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Http {
        port: u16,
        hosts: Vec<String>,
    }

    impl Default for Sample {
        fn default() -> Sample {
            Sample { name: "unnamed".into(), http: Http::default() }
        }
    }

    impl Default for Http {
        fn default() -> Http {
            Http { port: 80, hosts: Vec::new() }
        }
    }

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Sample, ConfigError> {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        load_from(Some(file.path()), &["http.hosts"], Some(variables))
    }

    #[test]
    fn the_environment_stands_above_the_file_and_the_file_above_the_defaults() {
        let variables = [("REVOCAST__HTTP__PORT", "8080"), ("REVOCAST__HTTP__HOSTS", "a,b"), ("OTHER", "x")];
        let read = read("name = 'one'\n[http]\nport = 81", &variables).unwrap();
        assert_eq!(read.name, "one");
        assert_eq!(read.http, Http { port: 8080, hosts: vec!["a".into(), "b".into()] });
    }

    #[test]
    fn an_unknown_key_is_refused_and_named() {
        let refused = read("nam = 'one'", &[]).unwrap_err().to_string();
        assert!(refused.contains("nam"), "{refused}");
        let refused = read("", &[("REVOCAST__HTTP__PROT", "1")]).unwrap_err().to_string();
        assert!(refused.contains("prot"), "{refused}");
    }

    #[test]
    fn what_is_shown_is_read_back_the_same() {
        let sample = Sample { name: "x".into(), ..Sample::default() };
        assert_eq!(read(&show(&sample).unwrap(), &[]).unwrap(), sample);
    }
}

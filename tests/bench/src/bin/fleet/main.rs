//! A fleet against floors of the same run: questions over NATS and HTTP, one notice to 64 validators, a start with
//! 10,000 CAs, and questions while a large CRL is swapped. `fleet [questions|fanout|start|swap]...`; all, unless named.
//!
//! The broker is a real nats-server (`ops/nats-server.sh`, or `$NATS_SERVER`); validators and floors run in this process.

mod fanout;
mod questions;
mod rig;
mod start;
mod swap;

/// As the promised figures were taken: workers on two cores.
const WORKERS: usize = 2;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|word| word == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    println!("cores: {}", std::thread::available_parallelism()?);
    runtime.block_on(async {
        if wanted("questions") {
            questions::measure().await?;
        }
        if wanted("fanout") {
            fanout::measure().await?;
        }
        if wanted("start") {
            start::measure().await?;
        }
        if wanted("swap") {
            swap::measure().await?;
        }
        Ok(())
    })
}

//! [`Metrics`]: counters, gauges and histograms for Prometheus, under names that begin with what they measure.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter as PlainCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as PlainGauge;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry;

/// Label names and values of one series.
pub type Labels = Vec<(String, String)>;

/// Counts what happened, by labels. Cheap to clone.
#[derive(Clone, Default)]
pub struct Counter(Family<Labels, PlainCounter>);

impl Counter {
    /// Counts one.
    pub fn add_one(&self, labels: &[(&str, &str)]) {
        self.add(labels, 1);
    }

    /// Counts `n`.
    pub fn add(&self, labels: &[(&str, &str)], n: u64) {
        self.0.get_or_create(&owned(labels)).inc_by(n);
    }

    /// What was counted under these labels.
    pub fn get(&self, labels: &[(&str, &str)]) -> u64 {
        self.0.get_or_create(&owned(labels)).get()
    }

    /// The series of these labels, to count without looking it up each time. It exists from now on.
    pub fn series(&self, labels: &[(&str, &str)]) -> Series {
        Series(self.0.get_or_create_owned(&owned(labels)))
    }
}

/// One series of a [`Counter`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Series(PlainCounter);

impl Series {
    /// Counts one.
    pub fn add_one(&self) {
        self.0.inc();
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.inc_by(n);
    }

    /// What was counted.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Says how much there is, by labels. Cheap to clone.
#[derive(Clone, Default)]
pub struct Gauge(Family<Labels, PlainGauge<f64, AtomicU64>>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, labels: &[(&str, &str)], value: f64) {
        self.0.get_or_create(&owned(labels)).set(value);
    }

    /// Takes a series out.
    pub fn remove(&self, labels: &[(&str, &str)]) {
        self.0.remove(&owned(labels));
    }
}

/// Says how long things took, from 1 microsecond to 70 minutes, by powers of four. Cheap to clone. Every question adds
/// to one, so nobody waits here for a lock.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Buckets>);

/// How often something took at most [`FIRST`], else [`FACTOR`] times as long, and so on; at last how often longer.
#[derive(Debug, Default)]
struct Buckets {
    counts: [AtomicU64; BOUNDS as usize + 1],
    nanos: AtomicU64,
}

const BOUNDS: u16 = 17;
const FIRST: Duration = Duration::from_micros(1);
/// A power of two.
const FACTOR: u32 = 4;

impl Histogram {
    /// Adds one duration.
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let below = nanos.div_ceil(FIRST.as_nanos() as u64).saturating_sub(1);
        let place = below.checked_ilog2().map_or(0, |exponent| (exponent / FACTOR.ilog2()) as usize + 1);
        let Buckets { counts, nanos: sum } = &*self.0;
        counts[place.min(BOUNDS.into())].fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Buckets { counts, nanos } = &*self.0;
        let bounds = exponential_buckets(FIRST.as_secs_f64(), FACTOR.into(), BOUNDS).chain([f64::INFINITY]);
        let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = Duration::from_nanos(nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

fn owned(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The registry of a process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics { registry: Arc::new(Mutex::new(Registry::default())) }
    }
}

impl Metrics {
    /// A new counter; its name goes without `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.lock().register(name, help, counter.0.clone());
        counter
    }

    /// A new gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.lock().register(name, help, gauge.0.clone());
        gauge
    }

    /// A new histogram of seconds.
    pub fn histogram(&self, name: &str, help: &str) -> Histogram {
        let histogram = Histogram::default();
        self.lock().register(name, help, histogram.clone());
        histogram
    }

    /// All series, in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.lock());
        text
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_no_longer_than_a_bound_is_counted_up_to_it() {
        let metrics = Metrics::default();
        let histogram = metrics.histogram("took_seconds", "some");
        let hours = 3_600_000_000_000;
        for nanos in [0, 1_000, 1_001, 4_000, 4_001, 16_000, 16_001, 4_294_967_296_000, 2 * hours] {
            histogram.observe(Duration::from_nanos(nanos));
        }
        let text = metrics.text();
        for (bound, count) in [
            ("0.000001", 2),
            ("0.000004", 4),
            ("0.000016", 6),
            ("0.000064", 7),
            ("4294.967296", 8),
            ("+Inf", 9),
        ] {
            let line = format!("took_seconds_bucket{{le=\"{bound}\"}} {count}");
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        for line in ["took_seconds_count 9", "took_seconds_sum 11494.967338003"] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}

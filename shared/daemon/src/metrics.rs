//! [`Metrics`]: counters, gauges and histograms for Prometheus, under names that begin with what they measure.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as PlainCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as PlainGauge;
use prometheus_client::metrics::histogram::{Histogram as PlainHistogram, exponential_buckets};
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

/// Says how long things took, in seconds from 1 microsecond to 70 minutes, by powers of four. Cheap to clone.
#[derive(Clone)]
pub struct Histogram(Arc<PlainHistogram>);

impl Histogram {
    /// Adds one duration, in seconds.
    pub fn observe(&self, seconds: f64) {
        self.0.observe(seconds);
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
        let plain = PlainHistogram::new(exponential_buckets(1e-6, 4.0, 17));
        self.lock().register(name, help, plain.clone());
        Histogram(Arc::new(plain))
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

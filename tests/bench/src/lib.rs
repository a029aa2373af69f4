//! What the benchmarks share: an allocator that counts, medians over interleaved runs, and the lists to measure on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use revocast_pki::asn1::Time;
use revocast_pki::crl::Reason;
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, RevokedEntry, SigningKey, key_id, name};

/// The system's allocator, counting what is held.
pub struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

fn grow(octets: usize) {
    ALLOCATIONS.fetch_add(1, Relaxed);
    PEAK.fetch_max(HELD.fetch_add(octets, Relaxed) + octets, Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_sub(layout.size(), Relaxed);
        grow(size);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// What `work` gives, octets held more than before when it is done, and octets held more at the peak.
/// Memory of C libraries is not seen.
pub fn memory<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    (result, HELD.load(Relaxed).saturating_sub(before), PEAK.load(Relaxed).saturating_sub(before))
}

/// What `work` gives, and how often it asked for memory.
pub fn allocations<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATIONS.load(Relaxed);
    let result = work();
    (result, ALLOCATIONS.load(Relaxed) - before)
}

/// Something to measure, under a name.
pub type Contender<'a> = (&'static str, Box<dyn FnMut() -> Duration + 'a>);

/// Runs all contenders in turn, `rounds` times, so that what disturbs one disturbs all; the median of each.
pub fn medians(rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<(&'static str, Duration)> {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    for _ in 0..rounds {
        for ((_, work), times) in contenders.iter_mut().zip(&mut times) {
            times.push(work());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    contenders.iter().zip(times).map(|((name, _), times)| (*name, times[times.len() / 2])).collect()
}

/// How long `work` takes; its result is dropped afterwards.
pub fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let result = std::hint::black_box(work());
    let taken = start.elapsed();
    drop(result);
    taken
}

/// A stream of numbers that is the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    /// The next one (splitmix64).
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// The `n`th entry: a serial of 16 to 20 octets, and a reason on every second one.
pub fn entry(n: u64) -> RevokedEntry {
    let mut numbers = Numbers(n);
    let mut serial: Vec<u8> = (0..3).flat_map(|_| numbers.draw().to_be_bytes()).collect();
    serial.truncate(16 + (numbers.draw() % 5) as usize);
    serial[0] = serial[0] & 0x7f | 0x40;
    let entry =
        RevokedEntry::new(&serial, Time::from_unix(1_700_000_000 + (numbers.draw() % 50_000_000) as i64));
    if n.is_multiple_of(2) { entry.because(Reason::KeyCompromise) } else { entry }
}

/// A CA that signs lists.
pub struct Ca {
    /// Its key.
    pub key: SigningKey,
    template: CrlTemplate,
}

impl Ca {
    /// With a new P-256 key.
    pub fn new() -> Ca {
        let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
        let at = Time::from_unix(1_790_000_000);
        let issuer = name("CN=Bench CA,O=Example").expect("a name");
        let template = CrlTemplate {
            authority_key_id: Some(key_id(key.spki()).to_vec()),
            ..CrlTemplate::new(issuer, 1, at, at.plus(86_400))
        };
        Ca { key, template }
    }

    /// Its certificate, DER.
    pub fn certificate(&self) -> Vec<u8> {
        let (name, at) = (self.template.issuer.clone(), self.template.this_update);
        let validity = (at.plus(-86_400), at.plus(86_400_000));
        let template = CertificateTemplate::ca(name.clone(), self.key.spki(), &[1], validity);
        template.sign(&name, &self.key).expect("randomness")
    }

    /// A list of these entries.
    pub fn list(&self, number: u64, entries: impl IntoIterator<Item = RevokedEntry>) -> Vec<u8> {
        let template = CrlTemplate { number: Some(number.into()), ..self.template.clone() };
        template.sign(entries, &self.key).expect("randomness")
    }
}

impl Default for Ca {
    fn default() -> Ca {
        Ca::new()
    }
}

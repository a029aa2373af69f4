//! How a service's work is paced, and how what blocks is kept off the runtime.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

/// A shorter period would leave no time for anything else.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// Ticks at once and then every `period`, a millisecond at the least; what was missed is not made up for.
pub fn every(period: Duration) -> Interval {
    let mut interval = interval(period.max(SHORTEST_PERIOD));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// From so many octets on work on them takes milliseconds and more.
pub const LARGE: usize = 1 << 20;

/// What stands back yields to everything else of this machine that wants the processor: about a tenth is left to it.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Threads for short work, per processor: some of them wait for the disk.
const HANDS: usize = 4;

/// As [`blocking`], for work on so many octets. What is large gets a thread of its own that stands back behind all
/// others, so that questions are answered meanwhile as if nothing happened.
pub async fn standing_back<T: Send + 'static>(octets: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if octets < LARGE {
        return blocking(work).await;
    }
    let (done, result) = tokio::sync::oneshot::channel();
    let begun = std::thread::Builder::new().name("revocast-large".into()).spawn(move || {
        stand_back();
        // Whoever waited may have gone.
        let _ = done.send(std::panic::catch_unwind(AssertUnwindSafe(work)));
    });
    match (begun, result.await) {
        (Ok(_), Ok(Ok(done))) => done,
        (Ok(_), Ok(Err(panic))) => std::panic::resume_unwind(panic),
        (Ok(_), Err(_)) => std::future::pending().await,
        (Err(error), _) => panic!("no thread for work on {octets} octets: {error}"),
    }
}

/// On Linux the priority is the thread's own; threads that it begins have the same.
fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        debug!(%error, "a thread does not stand back");
    }
}

type Work = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Whether this is one of [`Hands`].
    static IS_A_HAND: Cell<bool> = const { Cell::new(false) };
    /// What this thread was asked to do [`afterwards`].
    static AFTERWARDS: RefCell<Vec<Box<dyn FnOnce()>>> = const { RefCell::new(Vec::new()) };
}

/// What is to be done afterwards waits for no more than so many works.
const AFTERWARDS_AT_MOST: usize = 64;

/// A few threads for short work, first come, first served.
#[derive(Default)]
struct Hands {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    /// Threads that have nothing to do.
    idle: usize,
}

impl Hands {
    /// [`HANDS`] for each processor; `None` if not even one could be begun.
    fn get() -> Option<&'static Hands> {
        static ALL: OnceLock<Option<&'static Hands>> = OnceLock::new();
        *ALL.get_or_init(|| {
            let hands: &Hands = Box::leak(Box::default());
            let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
            let begin = |_: &usize| {
                let thread = std::thread::Builder::new().name("revocast-short".into());
                thread.spawn(|| hands.work()).is_ok()
            };
            ((0..cores * HANDS).filter(begin).count() > 0).then_some(hands)
        })
    }

    fn hand(&self, work: Work) {
        let mut waiting = self.lock();
        waiting.work.push_back(work);
        let wake = waiting.idle > 0;
        drop(waiting);
        if wake {
            self.came.notify_one();
        }
    }

    fn work(&self) {
        IS_A_HAND.set(true);
        stand_back();
        let mut waiting = self.lock();
        loop {
            let next = waiting.work.pop_front();
            if let Some(work) = next {
                drop(waiting);
                work();
                if AFTERWARDS.with_borrow(Vec::len) >= AFTERWARDS_AT_MOST {
                    do_what_was_left();
                }
                // A turn may be longer than many such works: whoever became ready meanwhile goes first.
                std::thread::yield_now();
                waiting = self.lock();
                continue;
            }
            if !AFTERWARDS.with_borrow(Vec::is_empty) {
                drop(waiting);
                do_what_was_left();
                waiting = self.lock();
                continue;
            }
            waiting.idle += 1;
            waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As [`blocking`], for work of a millisecond or so on the processor and the disk, on one of a few threads. They stand back:
/// what comes over the network is taken up first, so that everybody has it soonest, and questions are answered meanwhile.
pub async fn short<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if IS_A_HAND.get() {
        return work();
    }
    let Some(hands) = Hands::get() else { return blocking(work).await };
    let (done, result) = tokio::sync::oneshot::channel();
    hands.hand(Box::new(move || {
        // Whoever waited may have gone.
        let _ = done.send(std::panic::catch_unwind(AssertUnwindSafe(work)));
    }));
    match result.await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => std::future::pending().await,
    }
}

fn do_what_was_left() {
    for then in AFTERWARDS.take() {
        // What panics ends neither the thread nor what else was left.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(then));
    }
}

/// Does something of which nobody is in a hurry: within [`short`] work once no more such work waits, so that waking
/// whoever is told delays none of it; elsewhere at once.
pub fn afterwards(then: impl FnOnce() + 'static) {
    if IS_A_HAND.get() {
        AFTERWARDS.with_borrow_mut(|left| left.push(Box::new(then)));
    } else {
        then();
    }
}

/// Begins work that is mostly done by [`short`]. One of the same threads takes it as far as it goes without waiting for
/// anything, so that nobody is woken between its parts; if it has to wait, the rest of it is a task of the runtime. A panic
/// ends the work and nothing else.
pub fn begin(work: impl Future<Output = ()> + Send + 'static) {
    let runtime = Handle::current();
    let Some(hands) = Hands::get() else {
        runtime.spawn(work);
        return;
    };
    hands.hand(Box::new(move || {
        let _within = runtime.enter();
        let rest = std::panic::catch_unwind(AssertUnwindSafe(move || {
            let mut work = Box::pin(work);
            // Whatever would have woken it is looked at again by the task's first poll.
            work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending().then_some(work)
        }));
        if let Ok(Some(rest)) = rest {
            runtime.spawn(rest);
        }
    }));
}

/// Runs what blocks on the disk or the processor beside the runtime; a panic there is one here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only when the runtime ends, and this with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Runs work of which a panic must not be the end of more than that: what it said is given back.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let said = panic.downcast_ref::<&str>().map(ToString::to_string);
        said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn short_work_is_all_done_also_after_a_panic_and_never_on_more_threads_than_there_are() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all = (0..200).map(|n| {
            let (now, most) = (now.clone(), most.clone());
            caught(short(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                assert!(n % 10 != 0, "the tenth");
                n
            }))
        });
        let done: Vec<usize> = futures::future::join_all(all).await.into_iter().flatten().collect();
        assert_eq!(done, (0..200).filter(|n| n % 10 != 0).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= HANDS * std::thread::available_parallelism().unwrap().get());
    }

    fn thread() -> std::thread::ThreadId {
        std::thread::current().id()
    }

    #[tokio::test]
    async fn work_that_is_begun_is_done_in_one_place_until_it_waits_and_goes_on_as_a_task() {
        let here = thread();
        let (tell, told) = tokio::sync::oneshot::channel();
        begin(async move {
            let before = (thread(), short(thread).await);
            tokio::task::yield_now().await;
            let _ = tell.send((before, (thread(), short(thread).await)));
        });
        let ((hand, shortly), (task, later)) = told.await.unwrap();
        assert!(hand == shortly && hand != here);
        assert!(task == here && later != here);
    }

    #[tokio::test]
    async fn what_is_left_for_afterwards_is_done_wherever_it_is_left_also_after_a_panic_in_it() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let telling = tell.clone();
        afterwards(move || telling.send(0).unwrap());
        assert_eq!(told.try_recv(), Ok(0), "at once");
        for n in 1..=200 {
            let telling = tell.clone();
            short(move || {
                afterwards(|| panic!("what was left"));
                afterwards(move || drop(telling));
            })
            .await;
            let telling = tell.clone();
            short(move || afterwards(move || telling.send(n).unwrap())).await;
        }
        let mut all = Vec::new();
        while all.len() < 200 {
            all.extend(told.recv().await);
        }
        all.sort_unstable();
        assert_eq!(all, (1..=200).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn work_that_was_begun_and_panics_ends_and_no_thread_with_it() {
        for _ in 0..100 {
            begin(async { panic!("the first") });
        }
        assert_eq!(short(|| 7).await, 7);
    }

    #[tokio::test]
    async fn a_panic_is_given_back_in_its_words_also_one_beside_the_runtime() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let number = 5;
        assert_eq!(caught(async { panic!("at {number}") }).await, Err::<(), _>("at 5".to_owned()));
        assert_eq!(caught(blocking(|| panic!("below"))).await, Err::<(), _>("below".to_owned()));
        assert_eq!(caught(short(|| panic!("aside"))).await, Err::<(), _>("aside".to_owned()));
    }
}

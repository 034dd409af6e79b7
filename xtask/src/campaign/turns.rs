//! At most a few programs at once: a small machine serves nobody better when all run.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use anyhow::bail;

/// So many work at once.
const AT_ONCE: usize = 3;

/// Whose turn it is.
pub(crate) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Turns {
    /// Nobody works yet.
    pub(crate) fn new() -> Self {
        Self {
            free: Mutex::new(AT_ONCE),
            freed: Condvar::new(),
        }
    }

    /// Waits for a turn and does `work` in it.
    pub(crate) fn take<T>(&self, work: impl FnOnce() -> T) -> T {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.freed.wait_while(free, |free| *free == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        let done = work();
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
        done
    }
}

/// Does `work` for each of `all`, a few at once; the results in the order of `all`, or the first failure.
pub(crate) fn each<T: Sync, R: Send>(
    all: &[T],
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = Mutex::new(all.iter().enumerate());
    let worker = || {
        let mut done = Vec::new();
        loop {
            let one = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, one)) = one else { break };
            done.push((place, work(one)?));
        }
        anyhow::Ok(done)
    };
    let done = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        let ends = workers.into_iter().map(|worker| worker.join());
        let ends = ends.map(|end| end.unwrap_or_else(|_| bail!("a part panicked")));
        let ends: Vec<anyhow::Result<Vec<(usize, R)>>> = ends.collect();
        ends.into_iter().collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mut done: Vec<(usize, R)> = done.into_iter().flatten().collect();
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::{Turns, each};

    /// Everything is done once, in its order, and a failure is told.
    #[test]
    fn each_keeps_the_order() -> anyhow::Result<()> {
        let all: Vec<usize> = (0..50).collect();
        assert_eq!(each(&all, |one| Ok(*one))?, all);
        let fail = |one: &usize| {
            anyhow::ensure!(*one != 20, "twenty");
            Ok(())
        };
        assert!(each(&all, fail).is_err());
        Ok(())
    }

    /// A turn that ends is another one's.
    #[test]
    fn turns_come_back() {
        let turns = Turns::new();
        let done: usize = (0..20).map(|one| turns.take(|| one)).sum();
        assert_eq!(done, 190);
    }
}

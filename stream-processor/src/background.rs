//! Computation that may be late, beside the work that answers wait for.

use std::num::NonZero;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio_util::task::AbortOnDropHandle;

/// How much more the system is to prefer other threads to these (the niceness of `setpriority(2)`): each step is a tenth of CPU
/// time.
const NICER: i32 = 3;

/// Runs tasks that compute for long on threads of their own, which the system runs when it has nothing better to do. Among the
/// other tasks, each of them would wait until these have had enough.
#[derive(Debug, Default)]
pub(crate) struct Background(Option<Runtime>);

impl Background {
    /// Threads, as many as there are cores; but none where the caller's runtime has one thread as well, as in simulations,
    /// whose order of events is fixed.
    pub(crate) fn beside_current() -> Self {
        if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Self::default();
        }
        let own = rustix::process::getpriority_process(None).unwrap_or_default();
        let threads = available_parallelism().map_or(1, NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("background")
            .on_thread_start(move || {
                // Where that is not allowed, they are as good as others.
                let _ = rustix::process::setpriority_process(None, own + NICER);
            })
            .enable_all()
            .build();
        if let Err(error) = &runtime {
            tracing::warn!(%error, "no threads for the background: everything runs in the foreground");
        }
        Self(runtime.ok())
    }

    /// Runs a task until the handle is dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
        #[allow(clippy::disallowed_methods, reason = "the handle aborts it")]
        let handle = match &self.0 {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        };
        AbortOnDropHandle::new(handle)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The last owner may be a task, which must not wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::current;

    async fn thread_of(background: &Background) -> (std::thread::ThreadId, i32) {
        let (said, hear) = tokio::sync::oneshot::channel();
        let _task = background.spawn(async move {
            let niceness = rustix::process::getpriority_process(None);
            let _ = said.send((current().id(), niceness.expect("the system knows its threads")));
        });
        hear.await.expect("the task ran")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_task_has_a_thread_of_less_weight_than_others() {
        let own = rustix::process::getpriority_process(None).expect("the system knows its threads");
        let (thread, niceness) = thread_of(&Background::beside_current()).await;
        assert!(thread != current().id() && niceness > own, "{niceness} beside {own}");
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_keeps_its_tasks() {
        assert_eq!(thread_of(&Background::beside_current()).await.0, current().id());
    }
}

//! One block of a network over many batches in step: each batch runs up to the next site that is asked for, shows its
//! input and waits there. So the site's weight can be replaced, from what all batches show, before any batch goes on;
//! and each multiplication is done once.
//!
//! A batch is a thread, but only one of them runs at any time: the results do not depend on how they are scheduled.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

use candle_core::Tensor;
use paring_model::tap::Observer;
use paring_model::{Forward, ModelError, Network, Shared};

/// Where a batch has come to.
pub(crate) enum Stop {
    /// It is about to multiply this input at the site of that name.
    At(String, Tensor),
    /// It is through the block.
    Through(Tensor),
}

/// A batch under way.
pub(crate) struct Batch<'scope> {
    go: Sender<()>,
    stops: Receiver<Stop>,
    thread: ScopedJoinHandle<'scope, paring_model::Result<()>>,
}

impl<'scope> Batch<'scope> {
    /// A batch before block `index`; it does not run yet.
    pub(crate) fn new<'env>(
        scope: &'scope Scope<'scope, 'env>,
        network: &'scope dyn Network,
        index: usize,
        (x, shared): (Tensor, &'scope Shared),
    ) -> Self {
        let (go, gone) = channel();
        let (sender, stops) = channel();
        let thread = scope.spawn(move || {
            let mut gate = Gate { go: gone, stops: sender };
            gate.wait()?;
            let output = network.block(index, &x, shared, &mut Forward::observed(&mut gate))?;
            // Whoever does not listen any more does not want the output.
            let _ = gate.stops.send(Stop::Through(output));
            Ok(())
        });
        Self { go, stops, thread }
    }

    /// Runs on to the next stop.
    ///
    /// # Errors
    /// When the block does not run; the batch is over then.
    pub(crate) fn go_on(self) -> paring_model::Result<(Stop, Self)> {
        // A thread that has ended says so on the other channel.
        let _ = self.go.send(());
        match self.stops.recv() {
            Ok(stop) => Ok((stop, self)),
            Err(_) => Err(self.failure()),
        }
    }

    fn failure(self) -> ModelError {
        let ended = ModelError::Unsupported("a block of the model stopped on its way".to_owned());
        match self.thread.join() {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => ended,
        }
    }
}

struct Gate {
    go: Receiver<()>,
    stops: Sender<Stop>,
}

impl Gate {
    fn wait(&self) -> paring_model::Result<()> {
        self.go.recv().map_err(|_| ModelError::Unsupported("nothing more is asked of the batch".to_owned()))
    }
}

impl Observer for Gate {
    fn see(&mut self, name: &str, input: &Tensor) -> paring_model::Result<()> {
        let _ = self.stops.send(Stop::At(name.to_owned(), input.clone()));
        self.wait()
    }
}

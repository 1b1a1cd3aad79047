//! iceoryx2: one publish-subscribe service per direction, samples written once and read in place.

use std::time::Duration;

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;

use crate::cell::{Spec, THREADS};
use crate::common::{MIB, Result};
use crate::link::{Receiver, Sender, Transport};
use crate::machine::unique_name;
use crate::transports::entry::{Entry, Waits};

/// What may be on its way in one direction, where messages are not too long for that.
const QUEUED: usize = 4 * MIB;
/// The listener loses wake-ups now and then; it looks again after this long.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn entries() -> Vec<Entry> {
    let longest = 64 * MIB;
    vec![
        Entry::new(
            "iceoryx2-spin",
            "iceoryx2, polling",
            Waits::Spins,
            Iceoryx { spins: true },
            "ipc::Service, publish-subscribe of [u8] per direction; a sample is loaned, written once \
             and read in place; queue of 4 MiB (4 to 1024 samples), no overflow, \
             RetryUntilDelivered; the receiver polls receive(); threads have a publisher each",
        )
        .longest(longest),
        Entry::new(
            "iceoryx2",
            "iceoryx2, events",
            Waits::Sleeps,
            Iceoryx { spins: false },
            "the same with an event service: notify() after every sample, the receiver sleeps in \
             timed_wait(50 ms), since blocking_wait loses a wake-up now and then",
        )
        .longest(longest),
    ]
}

struct Iceoryx {
    spins: bool,
}

impl Transport for Iceoryx {
    type Tx = IceoryxSender;
    type Rx = IceoryxReceiver;
    type Listener = (IceoryxSender, IceoryxReceiver);

    fn listen(&self, spec: &Spec) -> Result<(Self::Listener, String)> {
        let name = unique_name("iceoryx");
        let way = |direction: &str| Way::new(&name, direction, self.spins, spec);
        // The receiver first: what is sent without one is lost.
        let receiver = way("to-host").receiver()?;
        Ok(((way("to-guest").sender()?, receiver), name))
    }

    fn accept(&self, ends: Self::Listener, _: &Spec) -> Result<Self::Listener> {
        Ok(ends)
    }

    fn connect(&self, name: &str, spec: &Spec) -> Result<Self::Listener> {
        let way = |direction: &str| Way::new(name, direction, self.spins, spec);
        let receiver = way("to-guest").receiver()?;
        Ok((way("to-host").sender()?, receiver))
    }
}

/// One direction.
#[derive(Clone)]
struct Way {
    name: String,
    spins: bool,
    longest: usize,
}

type Service = ipc::Service;

impl Way {
    fn new(name: &str, direction: &str, spins: bool, spec: &Spec) -> Way {
        set_log_level(LogLevel::Error);
        Way {
            name: format!("{name}/{direction}"),
            spins,
            longest: spec.workload.longest(),
        }
    }

    fn queue(&self) -> usize {
        (QUEUED / self.longest).clamp(4, 1024)
    }

    fn sender(self) -> Result<IceoryxSender> {
        let node = NodeBuilder::new().create::<Service>()?;
        let samples = self.samples(&node)?;
        let publisher = samples
            .publisher_builder()
            .initial_max_slice_len(self.longest)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .max_loaned_samples(1)
            .create()?;
        let notifier = match self.spins {
            true => None,
            false => Some(self.events(&node)?.notifier_builder().create()?),
        };
        Ok(IceoryxSender {
            way: self,
            publisher,
            notifier,
        })
    }

    fn receiver(self) -> Result<IceoryxReceiver> {
        let node = NodeBuilder::new().create::<Service>()?;
        let subscriber = self
            .samples(&node)?
            .subscriber_builder()
            .buffer_size(self.queue())
            .create()?;
        let listener = match self.spins {
            true => None,
            false => Some(self.events(&node)?.listener_builder().create()?),
        };
        Ok(IceoryxReceiver {
            subscriber,
            listener,
        })
    }

    fn samples(
        &self,
        node: &Node<Service>,
    ) -> Result<iceoryx2::service::port_factory::publish_subscribe::PortFactory<Service, [u8], ()>>
    {
        Ok(node
            .service_builder(&ServiceName::new(&self.name)?)
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .history_size(0)
            .subscriber_max_buffer_size(self.queue())
            .subscriber_max_borrowed_samples(2)
            .max_publishers(THREADS)
            .max_subscribers(1)
            .max_nodes(2 * THREADS)
            .open_or_create()?)
    }

    fn events(
        &self,
        node: &Node<Service>,
    ) -> Result<iceoryx2::service::port_factory::event::PortFactory<Service>> {
        Ok(node
            .service_builder(&ServiceName::new(&self.name)?)
            .event()
            .max_notifiers(THREADS)
            .max_listeners(1)
            .max_nodes(2 * THREADS)
            .open_or_create()?)
    }
}

pub(crate) struct IceoryxSender {
    way: Way,
    publisher: Publisher<Service, [u8], ()>,
    notifier: Option<Notifier<Service>>,
}

// SAFETY: its ports share counted references with one another and with their node only, all of
// which are in here and move together; each sender and receiver has a node of its own.
unsafe impl Send for IceoryxSender {}

impl Sender for IceoryxSender {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        loop {
            let sample = self.publisher.loan_slice_uninit(message.len())?;
            // Nobody got it: the receiver is known to be there, so its queue is full.
            if sample.write_from_slice(message).send()? > 0 {
                break;
            }
            std::thread::yield_now();
        }
        if let Some(notifier) = &self.notifier {
            notifier.notify()?;
        }
        Ok(())
    }

    fn another(&self) -> Result<Option<Self>> {
        Ok(Some(self.way.clone().sender()?))
    }
}

pub(crate) struct IceoryxReceiver {
    subscriber: Subscriber<Service, [u8], ()>,
    listener: Option<Listener<Service>>,
}

// SAFETY: as for the sender.
unsafe impl Send for IceoryxReceiver {}

impl Receiver for IceoryxReceiver {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let mut times = 0u32;
        loop {
            if let Some(sample) = self.subscriber.receive()? {
                read(sample.payload());
                return Ok(());
            }
            match &self.listener {
                Some(listener) => {
                    listener.timed_wait(|_| (), LOOK)?;
                }
                None => {
                    times = times.wrapping_add(1);
                    // As the bare rings do.
                    if times.is_multiple_of(64) {
                        std::thread::yield_now();
                    }
                    std::hint::spin_loop();
                }
            }
        }
    }
}

//! Many links of a host that answers from callbacks.

use std::sync::mpsc::channel;

use ::twinring::{Link, Wait};

use super::copied::Copied;
use super::open::{Memory, open};
use crate::cell::{Figures, Spec, Workload};
use crate::common::Result;
use crate::control::{Control, Role};
use crate::machine::unique_name;
use crate::workloads::links::{Answers, announce, guest};

pub(super) fn play(wait: Wait, role: Role, spec: &Spec, control: &Control) -> Result<()> {
    let memory = Memory::Reserved;
    let Workload::Links(count) = spec.workload else {
        return Err(format!("callbacks do not serve {}", spec.workload).into());
    };
    if role == Role::Guest {
        return guest(&Copied(wait, memory), spec, control);
    }
    control.wait_open()?;
    let names: Vec<String> = (0..count).map(|_| unique_name("twinring")).collect();
    let (done, results) = channel();
    let mut links = Vec::new();
    for name in &names {
        let done = done.clone();
        let mut answers = Answers::new();
        let host =
            Link::host(name)
                .ring_capacity(spec.ring as u64)
                .on_message(move |link, bytes| {
                    if let Some(end) = answers.take(bytes, |bytes| Ok(link.send(bytes)?)) {
                        let _ = done.send(end);
                    }
                });
        links.push(open(host, wait, memory)?);
    }
    announce(control, names)?;
    results.into_iter().take(count).collect::<Result<()>>()?;
    let done = control.finish(Figures::default());
    drop(links);
    done
}

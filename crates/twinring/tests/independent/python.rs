//! The independent peer, as the test sees it: orders in, answers out, a line each.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::common::{LIMIT, Place};

/// How it wants to be woken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sleep {
    Doorbell,
    Word,
}

impl Sleep {
    pub(crate) const BOTH: [Sleep; 2] = [Sleep::Doorbell, Sleep::Word];
}

/// A process of it; killed on drop.
#[derive(Debug)]
pub(crate) struct Python {
    process: process::Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

impl Python {
    /// Whether there is a Python 3; says so if there is none.
    pub(crate) fn is_there() -> bool {
        let version = Command::new("python3").arg("--version").output();
        let is_there = version.is_ok_and(|version| version.status.success());
        if !is_there {
            // Not println!, which the test harness would keep to itself.
            let _ = writeln!(
                std::io::stderr(),
                "\nSKIPPED: the independent peer needs python3 (3.9 or later), which is not there"
            );
        }
        is_there
    }

    pub(crate) fn start(place: &Place, sleep: Sleep) -> Python {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/independent/peer.py");
        let mut process = Command::new("python3")
            .arg(program)
            .arg(place.directory())
            .arg(place.name())
            .arg(match sleep {
                Sleep::Doorbell => "doorbell",
                Sleep::Word => "word",
            })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let orders = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (answer, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test may have lost interest.
                let _ = answer.send(line);
            }
        });
        Python {
            process,
            orders,
            answers,
        }
    }

    /// Gives an order, whose answer comes when it has been carried out.
    #[track_caller]
    pub(crate) fn begin(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it reads its orders");
    }

    /// The next answer.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> String {
        match self.answers.recv_timeout(LIMIT) {
            Ok(answer) => answer,
            Err(e) => panic!("no answer ({e}): {:?}", self.process.try_wait()),
        }
    }

    /// Gives an order and waits for its answer.
    #[track_caller]
    pub(crate) fn order(&mut self, order: &str) -> String {
        self.begin(order);
        self.answer()
    }

    /// Gives an order that is answered like this.
    #[track_caller]
    pub(crate) fn expect(&mut self, order: &str, answer: &str) {
        assert_eq!(self.order(order), answer, "to {order}");
    }

    /// How often it has slept, and how often it has found the other side asleep.
    #[track_caller]
    pub(crate) fn count(&mut self) -> [u64; 2] {
        let told = self.order("count");
        let words: Vec<_> = told.split(' ').collect();
        [words[1], words[3]].map(|word| word.parse().unwrap())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

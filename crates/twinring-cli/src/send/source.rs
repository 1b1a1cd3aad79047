//! The files to send: which can be, and how their bytes are read.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use super::SendArgs;
use crate::exit::{Exit, Failure};
use crate::names::{self, Rules, shown};
use crate::os::{self, files};
use crate::protocol::{BLOCK, DATA, Header, Timestamp};

/// Something to be sent.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) name: Vec<u8>,
}

/// Something that cannot be sent, as is known before there is a receiver.
pub(super) struct Missing<'a> {
    pub(super) path: &'a Path,
    /// What the receiver is told.
    pub(super) name: Vec<u8>,
    pub(super) why: String,
}

/// What is to be sent, and what of it cannot be.
pub(super) fn sources(args: &SendArgs) -> Result<(Vec<Source<'_>>, Vec<Missing<'_>>), Failure> {
    check_usage(args)?;
    let (mut sources, mut missing) = (Vec::new(), Vec::new());
    let mut names = HashSet::new();
    for path in &args.files {
        // A path such as `..` has no name of its own.
        let own = path.file_name().unwrap_or(path.as_os_str());
        let name = args.name.as_deref().unwrap_or(own);
        let name = name.as_encoded_bytes().to_vec();
        let source = Source { path, name };
        let checked = source.check().and_then(|()| {
            if names.insert(same_on_this_system(&source.name)) {
                return Ok(());
            }
            Err("another of these files has the same name; send it by itself, with --name".into())
        });
        match checked {
            Ok(()) => sources.push(source),
            Err(why) => missing.push(Missing {
                path,
                name: source.name,
                why,
            }),
        }
    }
    Ok((sources, missing))
}

/// Equal for names of the same file, as far as that does not depend on the directory.
fn same_on_this_system(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(name) if os::WINDOWS_NAMES => name.to_lowercase().into_bytes(),
        _ => name.to_vec(),
    }
}

fn check_usage(args: &SendArgs) -> Result<(), Failure> {
    let usage = |what: String| Err(Failure::new(Exit::Usage, what));
    let stdins = args.files.iter().filter(|path| is_stdin(path)).count();
    if stdins > 1 {
        return usage("standard input (-) can only be sent once".into());
    }
    match &args.name {
        Some(_) if args.files.len() > 1 => usage("--name goes with one FILE only".into()),
        None if stdins > 0 => usage("standard input (-) needs a --name".into()),
        None => Ok(()),
        Some(name) => {
            let name = name.as_encoded_bytes();
            names::check(name, Rules::here()).or_else(|why| {
                let name = shown(name);
                usage(format!("\"{name}\" is no name to send a file under: {why}"))
            })
        }
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

impl Source<'_> {
    /// Whether it can be sent, as far as that can be known without reading it.
    fn check(&self) -> Result<(), String> {
        self.regular().map_err(|e| e.to_string())?;
        names::check(&self.name, Rules::here())
            .map_err(|why| format!("its name is not allowed: {why}; send it with --name"))
    }

    /// The file, opened; `None` if it is one that may have to be waited for: standard input, a pipe, a device.
    fn regular(&self) -> io::Result<Option<(File, Metadata)>> {
        if is_stdin(self.path) {
            return Ok(None);
        }
        let there = self.path.metadata()?;
        // Windows reports "access denied" when a directory is opened.
        if there.is_dir() {
            return Err(io::Error::other(
                "it is a directory; pack it: tar c DIR | twinring send LINK - --name DIR.tar",
            ));
        }
        if !there.is_file() {
            return Ok(None);
        }
        let file = File::open(self.path)?;
        let metadata = file.metadata()?;
        Ok(Some((file, metadata)))
    }

    /// Opens it, and returns what is known before it is read.
    pub(super) fn open(&self) -> io::Result<(Input, Header)> {
        let mut header = Header {
            name: self.name.clone(),
            size: None,
            modified: None,
            mode: None,
            sparse: false,
        };
        let Some((file, metadata)) = self.regular()? else {
            let input = Input::Stream(Stream {
                path: (!is_stdin(self.path)).then(|| self.path.to_owned()),
                blocks: None,
            });
            return Ok((input, header));
        };
        // Files that the system makes up, as in /proc, say 0 whatever they have.
        header.size = Some(metadata.len()).filter(|size| *size > 0);
        header.modified = metadata.modified().ok().map(Timestamp::from);
        header.mode = files::mode(&metadata);
        header.sparse = files::is_sparse(&metadata);
        let regular = Regular {
            file,
            begin: metadata,
            size: header.size,
            read: 0,
        };
        Ok((Input::Regular(regular), header))
    }
}

/// Where the bytes of a file come from.
pub(super) enum Input {
    Regular(Regular),
    Stream(Stream),
}

/// What may be silent for hours, or never be opened by its other side. A thread of its own waits for that,
/// so that the end of the receiver is noticed meanwhile.
pub(super) struct Stream {
    /// `None`: standard input.
    path: Option<PathBuf>,
    /// Nothing is opened or taken from it before the receiver wants it.
    blocks: Option<Receiver<io::Result<Vec<u8>>>>,
}

/// A file that has a length, and must not change while it is read.
pub(super) struct Regular {
    file: File,
    begin: Metadata,
    /// What the receiver was told.
    size: Option<u64>,
    read: u64,
}

/// What an input has.
pub(super) enum Next {
    /// This many bytes, now in the block.
    Block(usize),
    /// Nothing right now.
    Nothing,
    End,
}

/// How often to check the receiver while a stream is silent.
const LOOK: Duration = Duration::from_millis(50);

impl Input {
    /// Makes `block` the next data message.
    pub(super) fn next(&mut self, block: &mut Vec<u8>) -> io::Result<Next> {
        match self {
            Input::Regular(regular) => regular.next(block),
            Input::Stream(stream) => stream.next(block),
        }
    }
}

impl Stream {
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<Next> {
        let blocks = match &self.blocks {
            Some(blocks) => blocks,
            None => self.blocks.insert(read_in_a_thread(self.path.take())?),
        };
        match blocks.recv_timeout(LOOK) {
            Ok(read) => {
                *block = read?;
                Ok(Next::of(block))
            }
            Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
        }
    }
}

fn read_in_a_thread(path: Option<PathBuf>) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (give, blocks) = mpsc::sync_channel(2);
    let reader = move || match path.map(File::open) {
        None => read_blocks(io::stdin().lock(), &give),
        Some(Ok(file)) => read_blocks(file, &give),
        // If nobody takes it, nobody wants it any more.
        Some(Err(e)) => drop(give.send(Err(e))),
    };
    thread::Builder::new().name("input".into()).spawn(reader)?;
    Ok(blocks)
}

fn read_blocks(mut input: impl Read, give: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut block = Vec::new();
        let read = fill(&mut input, &mut block);
        let last = !matches!(read, Ok(n) if n > 0);
        if give.send(read.map(|_| block)).is_err() || last {
            return;
        }
    }
}

impl Next {
    fn of(block: &[u8]) -> Next {
        match block.len() - 1 {
            0 => Next::End,
            n => Next::Block(n),
        }
    }
}

impl Regular {
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<Next> {
        let n = fill(&mut self.file, block)?;
        self.read += n as u64;
        match self.size {
            Some(size) if self.read > size => return Err(changed("more than", size)),
            Some(size) if n == 0 && self.read < size => return Err(changed("fewer than", size)),
            _ => {}
        }
        if n == 0 {
            let now = self.file.metadata()?;
            let times = (self.begin.modified().ok(), now.modified().ok());
            if now.len() != self.begin.len() || times.0 != times.1 {
                return Err(io::Error::other("it has changed while it was sent"));
            }
        }
        Ok(Next::of(block))
    }
}

fn changed(what: &str, size: u64) -> io::Error {
    io::Error::other(format!(
        "it has changed while it was sent: {what} the {size} bytes that it had"
    ))
}

/// Makes `block` a data message with the next bytes of `input`, a whole block of them unless the
/// input ends. Returns how many bytes there are.
fn fill(input: &mut impl Read, block: &mut Vec<u8>) -> io::Result<usize> {
    block.clear();
    block.push(DATA);
    input.take(BLOCK as u64).read_to_end(block)
}

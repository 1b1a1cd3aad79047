//! Searches every world that can be reached for something that is forbidden or never ends.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use super::Terms;
use super::world::{Kind, Label, Moves, Rules, Violation, World};

#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) states: usize,
    pub(super) moves: usize,
}

/// A host whose guest has gone notices it: that wakes its driver, which sleeps only then. There is one
/// such host at a time, so that the move is the same one for as long as it is possible.
const ALWAYS_COMES: &str = "host notices the end";

/// What is wrong, and the shortest way there.
pub(super) struct Found {
    pub(super) what: Violation,
    way: Vec<Label>,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after:", self.what)?;
        for (what, who) in &self.way {
            write!(f, "\n  {what} ({who})")?;
        }
        Ok(())
    }
}

struct Search<'a> {
    rules: &'a Rules,
    terms: &'a Terms,
    /// By the name of a world, which is all that is kept of a world once it has been looked at.
    known: HashMap<u128, u32>,
    /// Worlds to be looked at later because it takes one more fault to get there.
    postponed: HashSet<u128>,
    /// How each world was first reached.
    from: Vec<(u32, Label)>,
    /// For each world, whether it must lead to a connection and is none yet.
    waits: Vec<bool>,
    /// For each such world: what comes next if nothing interferes. Deadlines are far longer than
    /// steps, so they come only when there is no step.
    next: Vec<Vec<(u32, Label)>>,
    moves: usize,
}

/// Looks at every world, those that take the fewest faults to reach first. There are finitely many
/// even if any number of faults is allowed, because nothing counts how often a process has died.
pub(super) fn search(rules: &Rules, terms: &Terms) -> Result<Report, Found> {
    let mut search = Search {
        rules,
        terms,
        known: HashMap::new(),
        postponed: HashSet::new(),
        from: Vec::new(),
        waits: Vec::new(),
        next: Vec::new(),
        moves: 0,
    };
    search.reach_all()?;
    search.always_connects()?;
    Ok(Report {
        states: search.known.len(),
        moves: search.moves,
    })
}

impl Search<'_> {
    fn reach_all(&mut self) -> Result<(), Found> {
        // Worlds that take one more fault to reach than those that are looked at, and from where.
        let mut later = vec![(World::new(), (0, ("nothing", 0)))];
        for _ in 0..=self.rules.faults {
            let mut open = VecDeque::new();
            for (world, from) in later.split_off(0) {
                self.meet(world, from, &mut open);
            }
            if open.is_empty() {
                break;
            }
            while let Some((number, world)) = open.pop_front() {
                self.look(number, &world, &mut open, &mut later)?;
            }
        }
        Ok(())
    }

    fn look(
        &mut self,
        number: u32,
        world: &World,
        open: &mut VecDeque<(u32, World)>,
        later: &mut Vec<(World, (u32, Label))>,
    ) -> Result<(), Found> {
        let mut moves = Moves::new(self.rules, self.terms);
        world.moves(&mut moves);
        if let Some((label, what)) = moves.violation {
            return Err(self.found(what, number, Some(label)));
        }
        if let Err(what) = world.check() {
            return Err(self.found(what, number, None));
        }
        self.moves += moves.found.len();
        let urgent = [Kind::Step, Kind::Deadline]
            .into_iter()
            .find(|kind| moves.found.iter().any(|(of, ..)| of == kind));
        let waits = self.waits[number as usize];
        for (kind, label, world) in moves.found {
            if kind == Kind::Fault {
                let name = world.name(self.rules);
                if !self.known.contains_key(&name) && self.postponed.insert(name) {
                    later.push((world, (number, label)));
                }
                continue;
            }
            let to = self.meet(world, (number, label), open);
            if waits && Some(kind) == urgent {
                self.next[number as usize].push((to, label));
            }
        }
        Ok(())
    }

    fn meet(&mut self, world: World, from: (u32, Label), open: &mut VecDeque<(u32, World)>) -> u32 {
        let fresh = self.from.len() as u32;
        let number = *self.known.entry(world.name(self.rules)).or_insert(fresh);
        if number == fresh {
            self.from.push(from);
            self.next.push(Vec::new());
            self.waits
                .push(world.must_connect() && !world.is_connected());
            open.push_back((fresh, world));
        }
        number
    }

    /// From every world in which a host and a guest can run, whatever they do next leads to a
    /// connection if nothing interferes any more. Among the worlds without one, no path ends; and where
    /// paths are circular, a move that is always possible leads out for good, and it comes sooner or
    /// later. Nothing else is assumed about who is faster.
    fn always_connects(&self) -> Result<(), Found> {
        for number in 0..self.next.len() {
            if self.waits[number] && self.next[number].is_empty() {
                return Err(self.found("nothing happens any more", number as u32, None));
            }
        }
        let circle_of = self.circles();
        let inside = |from: u32, to: u32| circle_of[from as usize] == circle_of[to as usize];
        // For each circle: whether all its worlds lead out.
        let mut sizes = HashMap::<u32, (u32, bool)>::new();
        for number in (0..self.next.len() as u32).filter(|n| self.waits[*n as usize]) {
            let next = &self.next[number as usize];
            let mut leaving = next
                .iter()
                .filter(|(_, label)| label.0 == ALWAYS_COMES)
                .peekable();
            let leads_out = leaving.peek().is_some() && leaving.all(|(to, _)| !inside(number, *to));
            let turns = next.iter().any(|(to, _)| inside(number, *to));
            let (worlds, out) = sizes.entry(circle_of[number as usize]).or_insert((0, true));
            *worlds += u32::from(turns);
            *out &= leads_out;
        }
        let endless = |number: &u32| {
            self.waits[*number as usize]
                && matches!(sizes[&circle_of[*number as usize]], (1.., false))
        };
        match (0..self.next.len() as u32).find(endless) {
            Some(number) => Err(self.found("they may never connect", number, None)),
            None => Ok(()),
        }
    }

    /// The strongly connected components of the unconnected worlds, by number (Tarjan's algorithm,
    /// without recursion).
    fn circles(&self) -> Vec<u32> {
        const NONE: u32 = u32::MAX;
        let worlds = self.next.len();
        let (mut index, mut low) = (vec![NONE; worlds], vec![NONE; worlds]);
        let mut circle_of = vec![NONE; worlds];
        let (mut stack, mut count) = (Vec::new(), 0);
        for root in (0..worlds).filter(|n| self.waits[*n]) {
            if index[root] != NONE {
                continue;
            }
            let mut path = vec![(root, 0)];
            while let Some((at, edge)) = path.last_mut() {
                let at = *at;
                if *edge == 0 {
                    (index[at], low[at]) = (count, count);
                    count += 1;
                    stack.push(at);
                }
                let to = self.next[at].get(*edge).map(|(to, _)| *to as usize);
                *edge += 1;
                match to {
                    Some(to) if !self.waits[to] => {}
                    Some(to) if index[to] == NONE => path.push((to, 0)),
                    Some(to) if circle_of[to] == NONE => low[at] = low[at].min(index[to]),
                    Some(_) => {}
                    None => {
                        path.pop();
                        if let Some((before, _)) = path.last() {
                            low[*before] = low[*before].min(low[at]);
                        }
                        if low[at] == index[at] {
                            while let Some(member) = stack.pop() {
                                circle_of[member] = at as u32;
                                if member == at {
                                    break;
                                }
                            }
                        }
                    }
                }
            }
        }
        circle_of
    }

    fn found(&self, what: Violation, mut number: u32, last: Option<Label>) -> Found {
        let mut way: Vec<Label> = last.into_iter().collect();
        while number != 0 {
            let (before, label) = self.from[number as usize];
            way.push(label);
            number = before;
        }
        way.reverse();
        Found { what, way }
    }
}

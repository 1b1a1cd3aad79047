//! What the window shows: a function of what was seen, which returns what was clicked. It knows nothing of links.

use eframe::egui::{
    Align, Button, Color32, Grid, Label, Layout, ProgressBar, RichText, Sense, Ui, Vec2,
};
use inventory::{Command, Presence, Seen, Snapshot, Stage};

const GREEN: Color32 = Color32::from_rgb(70, 170, 90);
const AMBER: Color32 = Color32::from_rgb(225, 160, 50);
const RED: Color32 = Color32::from_rgb(215, 80, 70);

pub(crate) fn show(ui: &mut Ui, seen: &Seen, problem: Option<&str>) -> Option<Command> {
    ui.spacing_mut().item_spacing = Vec2::new(8.0, 10.0);
    ui.horizontal(|ui| {
        ui.heading("Inventory");
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| badge(ui, seen));
    });
    details(ui, seen, problem);
    ui.separator();

    let connected = matches!(seen.presence, Presence::Connected(_));
    let snapshot = seen.snapshot.as_ref()?;
    // What a service said that has gone is there to be read, in grey.
    ui.add_enabled_ui(connected, |ui| {
        progress(ui, snapshot);
        let clicked = buttons(ui, &snapshot.stage);
        ui.separator();
        recent(ui, snapshot);
        clicked
    })
    .inner
}

/// The state of the link in two words.
fn badge(ui: &mut Ui, seen: &Seen) {
    let (colour, text) = match &seen.presence {
        Presence::Connected(_) if seen.silent_for().is_some() => (AMBER, "no answer"),
        Presence::Connected(_) => (GREEN, "connected"),
        Presence::Absent(_) => (AMBER, "service not running, waiting"),
        Presence::Busy(_) => (AMBER, "in use by another, waiting"),
        Presence::Refused(_) => (RED, "not allowed"),
        Presence::Trouble(_) => (RED, "no connection"),
    };
    ui.label(text);
    let (dot, _) = ui.allocate_exact_size(Vec2::splat(12.0), Sense::hover());
    ui.painter().circle_filled(dot.center(), 5.0, colour);
}

/// The same as a sentence, in small print.
fn details(ui: &mut Ui, seen: &Seen, problem: Option<&str>) {
    let text = match &seen.presence {
        Presence::Connected(peer) => match seen.silent_for() {
            None => format!("The service is {peer}."),
            Some(silent) => format!(
                "The service, {peer}, has said nothing for {} seconds.",
                silent.as_secs()
            ),
        },
        Presence::Absent(None) => "It is found as soon as it is started.".to_owned(),
        Presence::Absent(Some(why)) => {
            format!("The last one has gone: {why}. The next is found as soon as it is started.")
        }
        Presence::Refused(why) => format!("The service does not serve this user: {why}"),
        Presence::Busy(why) | Presence::Trouble(why) => why.clone(),
    };
    ui.add(Label::new(RichText::new(text).small().weak()).wrap());
    if let Some(problem) = problem {
        ui.colored_label(RED, problem);
    }
}

fn progress(ui: &mut Ui, now: &Snapshot) {
    ui.horizontal(|ui| {
        ui.strong(&now.folder);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(now.stage.to_string());
        });
    });
    let (done, total) = (now.bytes.done, now.bytes.total);
    let part = match now.stage {
        Stage::Done => 1.0,
        _ => (done as f32 / total.max(1) as f32).min(1.0),
    };
    let bar = ProgressBar::new(part)
        .desired_height(22.0)
        .show_percentage();
    ui.add(bar);

    let rate = done as f64 / now.seconds.max(0.001);
    let left = match now.stage {
        Stage::Hashing if done > 0 => time(total.saturating_sub(done) as f64 / rate),
        _ => "–".to_owned(),
    };
    Grid::new("figures").spacing([24.0, 4.0]).show(ui, |ui| {
        for title in [
            "files",
            "bytes",
            "per second",
            "time",
            "left",
            "not readable",
        ] {
            ui.label(RichText::new(title).small().weak());
        }
        ui.end_row();
        ui.label(format!("{} of {}", now.files.done, now.files.total));
        ui.label(format!("{} of {}", size(done as f64), size(total as f64)));
        ui.label(size(rate));
        ui.label(time(now.seconds));
        ui.label(left);
        ui.label(now.skipped.to_string());
    });
}

fn buttons(ui: &mut Ui, stage: &Stage) -> Option<Command> {
    let start = match stage {
        Stage::Paused => "Go on",
        _ => "Start",
    };
    let runs = matches!(stage, Stage::Listing | Stage::Hashing);
    let mut clicked = None;
    ui.horizontal(|ui| {
        for (text, command, makes_sense) in [
            (start, Command::Start, !runs),
            ("Pause", Command::Pause, runs),
            ("Cancel", Command::Cancel, stage.is_active()),
        ] {
            let button = Button::new(text).min_size(Vec2::new(84.0, 28.0));
            if ui.add_enabled(makes_sense, button).clicked() {
                clicked = Some(command);
            }
        }
    });
    clicked
}

fn recent(ui: &mut Ui, now: &Snapshot) {
    for file in &now.recent {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(
                RichText::new(file.sha256.get(..12).unwrap_or_default())
                    .monospace()
                    .weak(),
            );
            ui.label(size(file.len as f64));
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(Label::new(&file.path).truncate());
            });
        });
    }
}

fn size(bytes: f64) -> String {
    let mut rest = bytes;
    for unit in ["B", "kB", "MB", "GB"] {
        if rest < 999.5 {
            let digits = usize::from(rest < 9.95 && unit != "B");
            return format!("{rest:.digits$} {unit}");
        }
        rest /= 1000.0;
    }
    format!("{rest:.1} TB")
}

fn time(seconds: f64) -> String {
    let seconds = seconds as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

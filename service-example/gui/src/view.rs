//! What the window shows: a function of what was seen, which returns what was clicked. It knows nothing of links.

use eframe::egui::{
    Align, Button, Color32, Label, Layout, ProgressBar, RichText, Sense, Style, TextStyle, Ui, Vec2,
};
use inventory::{Command, Presence, Seen, Snapshot, Stage};

const GREEN: Color32 = Color32::from_rgb(70, 170, 90);
const AMBER: Color32 = Color32::from_rgb(225, 160, 50);
const RED: Color32 = Color32::from_rgb(215, 80, 70);

/// Of all that is shown, said once.
pub(crate) fn set_style(style: &mut Style) {
    style.spacing.item_spacing = Vec2::new(8.0, 10.0);
    for (kind, size) in [
        (TextStyle::Heading, 22.0),
        (TextStyle::Body, 14.0),
        (TextStyle::Button, 14.0),
        (TextStyle::Monospace, 13.0),
        (TextStyle::Small, 12.0),
    ] {
        if let Some(font) = style.text_styles.get_mut(&kind) {
            font.size = size;
        }
    }
}

pub(crate) fn show(ui: &mut Ui, seen: &Seen, problem: Option<&str>) -> Option<Command> {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Inventory").heading().strong());
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
    ui.add(Label::new(RichText::new(text).small()).wrap());
    if let Some(problem) = problem {
        ui.colored_label(RED, problem);
    }
}

fn progress(ui: &mut Ui, now: &Snapshot) {
    ui.horizontal(|ui| {
        ui.strong(&now.folder);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(now.stage.to_string());
            if now.skipped > 0 {
                ui.colored_label(AMBER, format!("{} not readable,", now.skipped));
            }
        });
    });
    let (done, total) = (now.bytes.done, now.bytes.total);
    let part = match now.stage {
        Stage::Done => 1.0,
        _ => (done as f32 / total.max(1) as f32).min(1.0),
    };
    let bar = ProgressBar::new(part)
        .desired_height(22.0)
        .corner_radius(4)
        .text(format!("{:.0} %", part * 100.0));
    ui.add(match now.stage {
        Stage::Done => bar.fill(GREEN),
        Stage::Paused => bar.fill(AMBER),
        _ => bar,
    });

    let rate = done as f64 / now.seconds.max(0.001);
    let left = match now.stage {
        Stage::Hashing if done > 0 => time(total.saturating_sub(done) as f64 / rate),
        _ => "–".to_owned(),
    };
    let figures = [
        (
            "files",
            format!("{} of {}", now.files.done, now.files.total),
        ),
        (
            "bytes",
            format!("{} of {}", size(done as f64), size(total as f64)),
        ),
        ("per second", size(rate)),
        ("time", time(now.seconds)),
        ("left", left),
    ];
    ui.columns(figures.len(), |columns| {
        for (column, (title, figure)) in columns.iter_mut().zip(figures) {
            column.spacing_mut().item_spacing.y = 2.0;
            column.label(RichText::new(title).small().weak());
            column.label(figure);
        }
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
        let hash = file.sha256.get(..12).unwrap_or_default();
        ui.horizontal(|ui| {
            ui.label(RichText::new(hash).monospace().weak());
            ui.add(Label::new(&file.path).truncate());
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(size(file.len as f64));
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

//! The GUI: the client of the library, which has the link, and the view, which shows what it has seen.

// No console beside the window.
#![cfg_attr(windows, windows_subsystem = "windows")]

mod view;

use std::time::Duration;

use clap::Parser;
use eframe::egui::{CentralPanel, Frame, Ui, ViewportBuilder};
use inventory::{Client, Meeting};

#[derive(Parser)]
#[command(about = "Shows what the service does, and steers it")]
struct Args {
    #[command(flatten)]
    meeting: Meeting,
}

fn main() -> eframe::Result {
    let args = Args::parse();
    let options = eframe::NativeOptions {
        viewport: ViewportBuilder::default().with_inner_size([720.0, 516.0]),
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(
        "Inventory",
        options,
        Box::new(move |creation| {
            let egui = creation.egui_ctx.clone();
            egui.all_styles_mut(view::set_style);
            let client = Client::open(&args.meeting, move || egui.request_repaint())?;
            Ok(Box::new(App {
                client,
                problem: None,
            }))
        }),
    )
}

struct App {
    client: Client,
    /// Why the last command was not sent.
    problem: Option<String>,
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let frame = Frame::central_panel(ui.style()).inner_margin(20);
        let clicked = CentralPanel::default().frame(frame).show(ui, |ui| {
            view::show(ui, &self.client.seen(), self.problem.as_deref())
        });
        if let Some(command) = clicked.inner {
            self.problem = self.client.send(command).err().map(|e| e.to_string());
        }
        // Nobody wakes us when the service says nothing, which is to be shown as well.
        ui.ctx().request_repaint_after(Duration::from_secs(1));
    }
}

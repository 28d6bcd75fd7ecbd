//! The latencies of both servers, drawn.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::comparison::Comparison;
use crate::slice::{Slice, percentile};

const SIZE: (u32, u32) = (960, 680);
const OURS: RGBColor = RGBColor(31, 111, 235);
const EMPTY: RGBColor = RGBColor(130, 138, 148);
const TEXT: RGBColor = RGBColor(36, 41, 47);
const GRID: RGBColor = RGBColor(216, 222, 228);

/// As many nines at the right end as rounds of a thousand reviews can tell.
const LABELS: [(f64, &str); 5] = [
    (0.5, "p50"),
    (0.75, "p75"),
    (0.9, "p90"),
    (0.99, "p99"),
    (0.999, "p99.9"),
];

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One panel for each of the first four comparisons: those of a mesh's traffic.
pub(crate) fn draw(file: &Path, comparisons: &[Comparison]) -> anyhow::Result<()> {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    // White, and so readable on a dark page, too.
    root.fill(&WHITE)?;
    let title = ("sans-serif", 22).into_font().color(&TEXT);
    let body = root.titled(
        "How long a review takes, from asking to the whole answer",
        title,
    )?;
    for (panel, comparison) in body.split_evenly((2, 2)).iter().zip(comparisons) {
        draw_panel(panel, comparison)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(panel: &Panel<'_>, comparison: &Comparison) -> anyhow::Result<()> {
    let [ours, empty] = [&comparison.ours, &comparison.empty].map(|slices| curve(slices));
    let highest = ours
        .iter()
        .chain(&empty)
        .map(|(_, y)| *y)
        .fold(0.0, f64::max);

    let mut chart = ChartBuilder::on(panel)
        .caption(comparison.name, ("sans-serif", 17).into_font().color(&TEXT))
        .margin(12)
        .margin_right(26)
        .x_label_area_size(34)
        .y_label_area_size(62)
        .build_cartesian_2d(Shares, 0.0..highest * 1.1)?;
    let text = ("sans-serif", 13).into_font().color(&TEXT);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .y_labels(6)
        .y_desc("milliseconds")
        .axis_desc_style(text.clone())
        .label_style(text.clone())
        .draw()?;
    for (name, points, colour) in [("tunnelguard", ours, OURS), ("empty handler", empty, EMPTY)] {
        let line = chart.draw_series(LineSeries::new(points, colour.stroke_width(3)))?;
        line.label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(14)
        .legend_area_size(28)
        .label_font(text)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}

/// The axis of [`place`]s.
struct Shares;

impl Ranged for Shares {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (left, right): (i32, i32)) -> i32 {
        let ends = self.range();
        let along = (place - ends.start) / (ends.end - ends.start);
        left + (along * f64::from(right - left)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        LABELS.map(|(share, _)| place(share)).to_vec()
    }

    fn range(&self) -> Range<f64> {
        place(LABELS[0].0)..place(LABELS[LABELS.len() - 1].0)
    }
}

impl ValueFormatter<f64> for Shares {
    fn format_ext(&self, at: &f64) -> String {
        let found = LABELS
            .iter()
            .find(|(share, _)| (place(*share) - at).abs() < 1e-9);
        found.map_or_else(String::new, |(_, label)| (*label).to_owned())
    }
}

/// Where a share of the reviews stands: each nine takes as much room as the one before.
fn place(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// The percentiles of all rounds together, in milliseconds.
fn curve(slices: &[Slice]) -> Vec<(f64, f64)> {
    let mut latencies: Vec<Duration> = slices
        .iter()
        .flat_map(|slice| slice.latencies.iter().copied())
        .collect();
    latencies.sort_unstable();
    let ends = Shares.range();
    let points = (0..=100).map(|step| {
        let x = ends.start + (ends.end - ends.start) * f64::from(step) / 100.0;
        let latency = percentile(&latencies, 1.0 - 10_f64.powf(-x));
        (x, latency.as_secs_f64() * 1e3)
    });
    points.collect()
}

//! Bars, in groups, as SVG.

use std::fmt::Write as _;

/// A picture of groups of bars: one group for each thing measured, one bar for each library.
#[derive(Debug)]
pub struct Plot {
    title: String,
    unit: &'static str,
    series: Vec<String>,
    groups: Vec<(String, Vec<f64>)>,
}

impl Plot {
    /// A picture without groups yet; each group will have a bar for each of the series.
    #[must_use]
    pub fn new(title: &str, unit: &'static str, series: &[&str]) -> Self {
        let series = series.iter().map(ToString::to_string).collect();
        Self { title: title.to_owned(), unit, series, groups: Vec::new() }
    }

    /// Adds a group; one of whose values is missing is left out.
    pub fn group(&mut self, name: &str, values: &[Option<f64>]) {
        assert_eq!(values.len(), self.series.len());
        if let Some(values) = values.iter().copied().collect() {
            self.groups.push((name.to_owned(), values));
        }
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) fn svg(&self) -> String {
        let bars = self.series.len() as f64;
        let step = bars * BAR + GAP;
        let height = TOP + self.groups.len() as f64 * step;
        let values = self.groups.iter().flat_map(|(_, values)| values.iter().copied());
        let most = values.fold(f64::MIN_POSITIVE, f64::max);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"10\" y=\"20\" font-size=\"15\">{}</text>\n",
            escaped(&self.title)
        );
        let mut x = 10.0;
        for (name, colour) in self.series.iter().zip(COLOURS) {
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"31\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"41\">{}</text>",
                x + 15.0,
                escaped(name)
            );
            x += 40.0 + 7.0 * name.len() as f64;
        }
        for (index, (name, values)) in self.groups.iter().enumerate() {
            let top = TOP + index as f64 * step;
            let middle = top + bars * BAR / 2.0 + 4.0;
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                escaped(name)
            );
            for (bar, (value, colour)) in values.iter().zip(COLOURS).enumerate() {
                let y = top + bar as f64 * BAR;
                let width = (value.max(0.0) / most * (WIDTH - LEFT - RIGHT)).max(1.0);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" \
                     fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{} {}</text>",
                    BAR - 2.0,
                    LEFT + width + 5.0,
                    y + BAR - 5.0,
                    short(*value),
                    self.unit
                );
            }
        }
        svg + "</svg>\n"
    }
}

fn short(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const COLOURS: [&str; 4] = ["#2b6cb0", "#dd8452", "#7f7f7f", "#55a868"];
const WIDTH: f64 = 800.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 60.0;
const BAR: f64 = 16.0;
const GAP: f64 = 12.0;

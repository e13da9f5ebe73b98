//! Metrics by family, each added with its help and its samples.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// What its labels say, and the value.
type Sample = (Vec<(&'static str, String)>, f64);

/// Families in the order in which they are told.
#[derive(Default)]
pub(super) struct Families(pub(super) Vec<MetricFamily>);

impl Families {
    pub(super) fn counters<const N: usize>(&mut self, all: [(&str, &str, u64); N]) {
        for (name, help, value) in all {
            self.counter(name, help, value);
        }
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.add(name, help, MetricType::COUNTER, [(Vec::new(), value as f64)]);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::GAUGE, [(Vec::new(), value)]);
    }

    /// Counters with a label.
    pub(super) fn by(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        all: impl IntoIterator<Item = (impl Into<String>, u64)>,
    ) {
        self.add(name, help, MetricType::COUNTER, labelled(label, all));
    }

    /// Gauges with a label.
    pub(super) fn gauges_by(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        all: impl IntoIterator<Item = (impl Into<String>, u64)>,
    ) {
        self.add(name, help, MetricType::GAUGE, labelled(label, all));
    }

    /// A family, unless it is empty.
    pub(super) fn add(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        let metric = |(labels, value): Sample| {
            let mut metric = Metric::default();
            let labels = labels.into_iter().map(|(name, value)| {
                let mut label = LabelPair::default();
                label.set_name(name.to_owned());
                label.set_value(value);
                label
            });
            metric.set_label(labels.collect());
            if kind == MetricType::COUNTER {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            } else {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            metric
        };
        let metrics: Vec<_> = samples.into_iter().map(metric).collect();
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }
}

/// A sample for each value of one label.
fn labelled(
    label: &'static str,
    all: impl IntoIterator<Item = (impl Into<String>, u64)>,
) -> impl Iterator<Item = Sample> {
    all.into_iter().map(move |(of, value)| (vec![(label, of.into())], value as f64))
}

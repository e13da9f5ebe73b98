//! Any format, chosen at run time, over one writer.

use std::io::{self, Write};

use vtap_flow::{Event, Gap, Record, Sink};
use vtap_networks::Description;

use crate::{Azure, Format, Json, Text};

/// Rows of events in the chosen format.
#[derive(Debug)]
pub(crate) enum Rows<W: Write> {
    Text(Text<W>),
    Json(Json<W>),
    Azure(Azure<W>),
    None,
}

impl<W: Write> Rows<W> {
    /// Rows below `head`: that of the [format](Format::head), or nothing where the writer has seen
    /// to it.
    pub(crate) fn new(format: Format, head: &str, writer: W) -> Self {
        match format {
            Format::Text => Self::Text(Text::with_head(writer, head)),
            Format::Json => Self::Json(Json::new(writer)),
            Format::Azure => Self::Azure(Azure::new(writer)),
            Format::None => Self::None,
        }
    }

    /// Writes what is told of a flow, in a format that has a place for it.
    pub(crate) fn flow(&mut self, record: &Record, description: &Description) -> io::Result<()> {
        match self {
            Self::Text(text) => text.flow(record, description),
            Self::Json(json) => json.flow(record, description),
            Self::Azure(_) | Self::None => Ok(()),
        }
    }

    pub(crate) fn set_resource_id(&mut self, id: &str) {
        if let Self::Azure(azure) = self {
            azure.set_resource_id(id);
        }
    }

    pub(crate) const fn omitted(&self) -> u64 {
        match self {
            Self::Azure(azure) => azure.omitted(),
            Self::Text(_) | Self::Json(_) | Self::None => 0,
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Text(text) => text.flush(),
            Self::Json(json) => json.flush(),
            Self::Azure(azure) => azure.flush(),
            Self::None => Ok(()),
        }
    }

    /// Flushes and hands the writer back; there is none where nothing is written.
    pub(crate) fn finish(self) -> io::Result<Option<W>> {
        match self {
            Self::Text(text) => text.finish().map(Some),
            Self::Json(json) => json.finish().map(Some),
            Self::Azure(azure) => azure.finish().map(Some),
            Self::None => Ok(None),
        }
    }

    /// How many rows were gathered and have not been written.
    pub(crate) const fn gathered(&self) -> u64 {
        match self {
            Self::Text(text) => text.batch.gathered(),
            Self::Json(json) => json.batch.gathered(),
            Self::Azure(azure) => azure.batch.gathered(),
            Self::None => 0,
        }
    }

    pub(crate) const fn writer(&self) -> Option<&W> {
        match self {
            Self::Text(text) => Some(text.batch.writer()),
            Self::Json(json) => Some(json.batch.writer()),
            Self::Azure(azure) => Some(azure.batch.writer()),
            Self::None => None,
        }
    }

    pub(crate) const fn writer_mut(&mut self) -> Option<&mut W> {
        match self {
            Self::Text(text) => Some(text.batch.writer_mut()),
            Self::Json(json) => Some(json.batch.writer_mut()),
            Self::Azure(azure) => Some(azure.batch.writer_mut()),
            Self::None => None,
        }
    }
}

impl<W: Write> Sink for Rows<W> {
    type Error = io::Error;

    #[inline]
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Self::Text(text) => text.event(event),
            Self::Json(json) => json.event(event),
            Self::Azure(azure) => azure.event(event),
            Self::None => Ok(()),
        }
    }

    fn gap(&mut self, gap: &Gap) -> io::Result<()> {
        match self {
            Self::Text(text) => text.gap(gap),
            Self::Json(json) => json.gap(gap),
            Self::Azure(azure) => azure.gap(gap),
            Self::None => Ok(()),
        }
    }
}

//! Rows as JSON lines: an object each, without the columns that are null.

use std::io::{self, BufWriter, Write};

use serde_json::{Map, Value as Json};

use super::column::{COLUMNS, Row, Value};
use crate::vnet::cloud_time;

pub(crate) fn write(out: impl Write, rows: &[Row<'_>]) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for row in rows {
        let mut line = Map::new();
        for column in COLUMNS {
            let value = match column.of(row) {
                Value::Null => continue,
                Value::Text(text) => Json::from(text),
                Value::Int(number) => Json::from(number),
                Value::Long(number) => Json::from(number),
                Value::Time(time) => Json::from(cloud_time(time)),
            };
            line.insert(column.name.into(), value);
        }
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

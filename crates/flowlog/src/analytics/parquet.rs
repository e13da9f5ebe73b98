//! Rows in columns: Parquet, packed with Snappy.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::column::{COLUMNS, Column, Kind, Row, Value};

/// Rows that are turned into columns at a time.
const BATCH: usize = 8192;

pub(crate) fn write(out: impl Write + Send, rows: &[Row<'_>]) -> io::Result<()> {
    columns(out, rows).map_err(|error| match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    })
}

fn columns(out: impl Write + Send, rows: &[Row<'_>]) -> Result<(), ParquetError> {
    let schema = schema();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties))?;
    for rows in rows.chunks(BATCH) {
        let columns = COLUMNS.iter().map(|column| array(column, rows)).collect();
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
    }
    writer.close().map(drop)
}

fn schema() -> SchemaRef {
    let field = |column: &Column| Field::new(column.name, data_type(column.kind), true);
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Int => DataType::Int32,
        Kind::Long => DataType::Int64,
        Kind::Real => DataType::Float64,
        Kind::Bool => DataType::Boolean,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
    }
}

const UTC: &str = "UTC";

/// The values of a column; one of another kind than the column's would be null.
fn array(column: &Column, rows: &[Row<'_>]) -> ArrayRef {
    let values = rows.iter().map(|row| column.of(row));
    match column.kind {
        Kind::Text => Arc::new(StringArray::from_iter(values.map(|value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        }))),
        Kind::Int => Arc::new(Int32Array::from_iter(values.map(|value| match value {
            Value::Int(number) => Some(number),
            _ => None,
        }))),
        Kind::Long => Arc::new(Int64Array::from_iter(values.map(|value| match value {
            Value::Long(number) => Some(number),
            _ => None,
        }))),
        Kind::Time => {
            let micros = values.map(|value| match value {
                Value::Time(time) => i64::try_from(time.nanos() / 1000).ok(),
                _ => None,
            });
            Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone(UTC))
        }
        // No column of these has values.
        Kind::Real => Arc::new(Float64Array::new_null(rows.len())),
        Kind::Bool => Arc::new(BooleanArray::new_null(rows.len())),
    }
}

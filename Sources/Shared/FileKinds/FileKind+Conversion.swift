extension FileKind.Table {
  /// The command that makes a file of rows, a JSON object a line, of a table; nil where there is none for all of its kind.
  package func conversion(of file: String, to rows: String) -> String? {
    let reader: String
    switch self {
    case .parquet: reader = "read_parquet"
    case .arrow: reader = "read_feather"
    case .excel: reader = "read_excel"
    case .hdf5, .sqlite, .numpy: return nil
    }
    return "python3 -c \"import pandas; pandas.\(reader)('\(file)').to_json('\(rows)', orient='records', lines=True)\""
  }
}

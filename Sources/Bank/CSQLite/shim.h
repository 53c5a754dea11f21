// SQLite (package libsqlite3-dev). The SQLite target alone imports it.
#include <sqlite3.h>

// sqlite3_db_config is variadic, which Swift cannot call.
static inline int t2_sqlite_set_defensive(sqlite3 *db, int on) {
  int now = 0;
  return sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, on, &now);
}

// Closes without moving the write-ahead log into the file: for a database that is refused and stays as it is.
static inline int t2_sqlite_keep_log_on_close(sqlite3 *db) {
  int now = 0;
  return sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, &now);
}

// The errno of the last call on the database's file, or on its log, that the system refused since it was opened; 0 where
// none was.
static inline int t2_sqlite_last_errno(sqlite3 *db) {
  int number = 0;
  if (sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &number) == SQLITE_OK && number != 0) return number;
  sqlite3_file *log = 0;
  if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK && log && log->pMethods)
    log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number);
  return number;
}

// SQLITE_TRANSIENT is a cast of -1 to a function pointer, which Swift does not import. SQLite copies the bytes.
static inline int t2_sqlite_bind_text(sqlite3_stmt *statement, int index, const char *text, sqlite3_uint64 count) {
  return sqlite3_bind_text64(statement, index, text, count, SQLITE_TRANSIENT, SQLITE_UTF8);
}
static inline int t2_sqlite_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, sqlite3_uint64 count) {
  return sqlite3_bind_blob64(statement, index, bytes, count, SQLITE_TRANSIENT);
}

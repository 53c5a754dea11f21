// SQLite (package libsqlite3-dev). The SQLite target alone imports it.
#include <sqlite3.h>

// sqlite3_db_config is variadic, which Swift cannot call.
static inline int t2_sqlite_set_defensive(sqlite3 *db, int on) {
  int now = 0;
  return sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, on, &now);
}

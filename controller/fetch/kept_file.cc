#include "controller/fetch/kept_file.h"

namespace handfast::fetch {

Status keep_file(publish::FileSystem& files, const std::string& name, std::string_view bytes) {
  const std::string temporary = name + ".new";
  (void)files.remove_file(temporary);  // of a controller that was killed
  Status done = files.write_file(temporary, bytes);
  if (done) done = files.sync_all();
  if (done) done = files.rename(temporary, name);
  if (!done) (void)files.remove_file(temporary);  // a full disk needs the room
  return done;
}

}  // namespace handfast::fetch

// The time of day, finer than JavaScript's milliseconds: two changes of a file one after the other must
// not look like one to a program that compares times.

#include <ctime>

#include "functions.h"

namespace dedupfs {

napi_value currentMicroseconds(napi_env env, napi_callback_info) {
  timespec now{};
  // Cannot fail for this clock.
  clock_gettime(CLOCK_REALTIME, &now);
  const double microseconds =
      static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec / 1000);
  napi_value result = nullptr;
  napi_create_double(env, microseconds, &result);
  return result;
}

}  // namespace dedupfs

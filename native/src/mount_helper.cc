// mountByHelper for JavaScript; the work is in helper_process.cc.

#include "arguments.h"
#include "functions.h"
#include "helper_process.h"

namespace dedupfs {

napi_value mountByHelper(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const std::string target = arguments.string(0, "target");
  const std::string options = arguments.string(1, "options");
  if (arguments.failed()) return nullptr;
  const HelperResult helper = runMountHelper(target, options);
  napi_value result = nullptr;
  napi_value output = nullptr;
  napi_create_object(env, &result);
  napi_create_string_utf8(env, helper.output.data(), helper.output.size(), &output);
  napi_set_named_property(env, result, "fd", toNumber(env, helper.fd));
  napi_set_named_property(env, result, "stderr", output);
  return result;
}

}  // namespace dedupfs

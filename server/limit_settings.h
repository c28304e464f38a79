// The settings of what a request may ask for, and how long it may take to arrive.
#pragma once

#include <vector>

#include "server/setting.h"

namespace braid {

std::vector<Setting> LimitSettings();

}  // namespace braid

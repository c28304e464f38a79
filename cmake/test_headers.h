// As common_headers.h, for the tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmake/common_headers.h"

#include "bindings/function.h"

#include <pybind11/eval.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "ops/device.h"

namespace byhand::bindings {

struct Parameter {
  py::handle name;           // interned
  py::handle default_value;  // null if the caller must give the argument
};

struct Signature {
  std::string name;
  std::string text;  // signature and documentation, in the form that Python's inspect module reads
  std::vector<Parameter> parameters;
  size_t positional = 0;  // number of parameters that may be given by position
  PyMethodDef method{};
};

namespace {

constexpr size_t kUnknown = SIZE_MAX;

// Returns the index of the parameter `name`, or kUnknown. Python interns each keyword that is written in a
// program, so comparing addresses finds it. A keyword that was computed, as in f(**{"a" + "b": 1}), may not
// be interned. So its text is compared, too.
size_t find(const Signature& f, py::handle name) {
  for (size_t i = 0; i < f.parameters.size(); ++i)
    if (f.parameters[i].name.ptr() == name.ptr()) return i;
  for (size_t i = 0; i < f.parameters.size(); ++i)
    if (PyUnicode_Compare(f.parameters[i].name.ptr(), name.ptr()) == 0) return i;
  return kUnknown;
}

std::string quoted(py::handle name) { return " '" + std::string(py::str(name)) + "'"; }

[[noreturn]] void refuse(const Signature& f, const std::string& what) {
  throw py::type_error(f.name + "() " + what);
}

// Reads the name and the parameters of f from a text such as "f(a, b=None, *, c=1.0)". Default values must
// contain neither a comma nor an equals sign.
void read_signature(Signature& f, const std::string& signature) {
  const size_t open = signature.find('('), close = signature.rfind(')');
  f.name = signature.substr(0, open);
  bool by_position = true;
  for (size_t begin = open + 1; begin < close;) {
    const size_t end = std::min(signature.find(", ", begin), close);
    const std::string item = signature.substr(begin, end - begin);
    begin = end + 2;
    if (item == "*") {
      by_position = false;
      continue;
    }
    const size_t equals = item.find('=');
    PyObject* const name = PyUnicode_InternFromString(item.substr(0, equals).c_str());
    if (name == nullptr) throw py::error_already_set();
    Parameter parameter{name, {}};
    if (equals != std::string::npos) parameter.default_value = py::eval(item.substr(equals + 1)).release();
    f.parameters.push_back(parameter);
    f.positional += by_position;
  }
}

}  // namespace

const Signature& add_function(py::module_& m, const char* signature, size_t parameter_count, Call call,
                              const char* doc) {
  auto& f = *new Signature;
  read_signature(f, signature);
  if (f.parameters.size() != parameter_count)
    throw std::logic_error(std::string("the C++ function does not have the number of parameters of ") +
                           signature);
  f.text = std::string(signature) + "\n--\n\n" + doc;
  f.method = {f.name.c_str(), reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call)),
              METH_FASTCALL | METH_KEYWORDS, f.text.c_str()};
  const py::object module_name = m.attr("__name__");
  m.attr(f.name.c_str()) =
      py::reinterpret_steal<py::object>(PyCFunction_NewEx(&f.method, m.ptr(), module_name.ptr()));
  return f;
}

void read_arguments(const Signature& f, PyObject* const* given, size_t count, PyObject* keywords,
                    py::handle* arguments) {
  if (count > f.positional)
    refuse(f, "takes at most " + std::to_string(f.positional) + " positional arguments, got " +
                  std::to_string(count));
  for (size_t i = 0; i < count; ++i) arguments[i] = given[i];
  for (size_t k = 0; keywords != nullptr && k < static_cast<size_t>(PyTuple_GET_SIZE(keywords)); ++k) {
    const py::handle name = PyTuple_GET_ITEM(keywords, static_cast<Py_ssize_t>(k));
    const size_t i = find(f, name);
    if (i == kUnknown) refuse(f, "got an unexpected keyword argument" + quoted(name));
    if (arguments[i]) refuse(f, "got multiple values for argument" + quoted(name));
    arguments[i] = given[count + k];
  }
  for (size_t i = 0; i < f.parameters.size(); ++i) {
    if (arguments[i]) continue;
    arguments[i] = f.parameters[i].default_value;
    if (!arguments[i]) refuse(f, "missing required argument" + quoted(f.parameters[i].name));
  }
}

void translate_exception(const Signature& f) {
  try {
    throw;
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const OutOfMemory& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const DeviceError& error) {
    PyErr_SetString(py::module_::import("byhand._core").attr("DeviceError").ptr(), error.what());
  } catch (const MissingOperator& error) {
    PyErr_SetString(PyExc_NotImplementedError, (f.name + "(): " + error.what()).c_str());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

}  // namespace byhand::bindings
